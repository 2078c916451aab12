"""Probes over any datagram link: the master answers, followers ask.

Nothing here waits: how often to ask is the caller's choice.
"""

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from unisono.clock import own_ns
from unisono.core.samples import ProbeSample
from unisono.core.units import NS_PER_S, MasterNs, OwnNs
from unisono.lan.datagrams import DatagramLink
from unisono.lan.paths import Endpoint
from unisono.wire.keys import KeyRing
from unisono.wire.probe import (
    ProbeReply,
    ProbeRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    party_tag,
)
from unisono.wire.refusal import Reason, Refused

# A reply that takes longer says nothing about the clock any more.
PATIENCE_NS: Final = 2 * NS_PER_S
MAX_PENDING: Final = 64


class _Pending(NamedTuple):
    """A probe under way: the stamp it carries, and the one taken just before it was sent."""

    named_ns: OwnNs
    sent_ns: OwnNs


OnRefused = Callable[[Refused, Endpoint], None]


class ProbeResponder:
    """Answers the probes of one term; everything else is refused and counted by the caller."""

    def __init__(
        self,
        link: DatagramLink,
        keys: KeyRing,
        *,
        term: int,
        device_id: str,
        on_refused: OnRefused,
    ) -> None:
        self._link = link
        self._keys = keys
        self._term = term
        self._sender = party_tag(device_id)
        self._on_refused = on_refused
        self.answered = 0
        link.listen(self._answer)

    def answer_waiting(self, at_most: int) -> None:
        """Answer what waits, on a link that is held."""
        self._link.read(at_most)

    def close(self) -> None:
        """Stop answering."""
        self._link.close()

    def _answer(self, data: bytes, asker: Endpoint, received_ns: OwnNs) -> None:
        try:
            request = decode_request(data, self._keys)
            if request.term != self._term:
                raise Refused(Reason.WRONG_MASTER, f"asked for term {request.term}")
        except Refused as refused:
            self._on_refused(refused, asker)
            return
        reply = ProbeReply(
            term=self._term,
            sender=self._sender,
            nonce=request.nonce,
            own_sent_ns=request.own_sent_ns,
            master_received_ns=MasterNs(received_ns),
            master_sent_ns=MasterNs(own_ns()),
        )
        if self._link.send(encode_reply(reply, self._keys), asker):
            self.answered += 1


class ProbeClient:
    """Asks a master and turns its replies into samples for the estimator."""

    def __init__(
        self,
        link: DatagramLink,
        keys: KeyRing,
        *,
        device_id: str,
        on_sample: Callable[[ProbeSample], None],
        on_refused: OnRefused,
    ) -> None:
        self._link = link
        self._keys = keys
        self._sender = party_tag(device_id)
        self._on_sample = on_sample
        self._on_refused = on_refused
        self._pending: dict[int, _Pending] = {}
        self._term = 0
        self._master_tag = b""
        self.sent = 0
        self.answered = 0
        link.listen(self._receive)

    def ask(self, master: Endpoint, master_device_id: str, term: int) -> bool:
        """Send one probe; False when the network did not take it."""
        if (tag := party_tag(master_device_id)) != self._master_tag or term != self._term:
            self._pending.clear()
            self._master_tag, self._term = tag, term
        nonce, named_ns = secrets.randbits(64), own_ns()
        data = encode_request(ProbeRequest(term, self._sender, nonce, named_ns), self._keys)
        self._forget_before(named_ns - PATIENCE_NS)
        # The stamp that counts is taken last: signing is no part of the path.
        self._pending[nonce] = _Pending(named_ns, own_ns())
        if not self._link.send(data, master):
            del self._pending[nonce]
            return False
        if (left_ns := self._link.left_ns) is not None and left_ns > named_ns:
            self._pending[nonce] = _Pending(named_ns, left_ns)
        self.sent += 1
        return True

    def close(self) -> None:
        """Stop; replies under way are lost."""
        self._link.close()

    def _receive(self, data: bytes, sender: Endpoint, received_ns: OwnNs) -> None:
        try:
            self._on_sample(self._sample(data, received_ns))
        except Refused as refused:
            self._on_refused(refused, sender)

    def _sample(self, data: bytes, received_ns: OwnNs) -> ProbeSample:
        reply = decode_reply(data, self._keys)
        if reply.sender != self._master_tag or reply.term != self._term:
            raise Refused(Reason.WRONG_MASTER, "answered by a device that does not lead")
        probe = self._pending.pop(reply.nonce, None)
        if probe is None or probe.named_ns != reply.own_sent_ns:
            raise Refused(Reason.UNSOLICITED, "no such probe is under way")
        if not probe.sent_ns <= received_ns <= probe.sent_ns + PATIENCE_NS:
            raise Refused(Reason.LATE, "the answer took too long")
        self.answered += 1
        return ProbeSample(
            own_sent_ns=probe.sent_ns,
            master_received_ns=reply.master_received_ns,
            master_sent_ns=reply.master_sent_ns,
            own_received_ns=received_ns,
        )

    def _forget_before(self, limit_ns: int) -> None:
        while self._pending:
            nonce = next(iter(self._pending))
            if self._pending[nonce].sent_ns >= limit_ns and len(self._pending) < MAX_PENDING:
                return
            del self._pending[nonce]
