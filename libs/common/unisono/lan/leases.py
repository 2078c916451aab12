"""Leases: which followers a master sends to by unicast, and until when. Opens nothing."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from unisono.core.units import NS_PER_MS, OwnNs
from unisono.lan.paths import Endpoint
from unisono.wire.keys import KeyRing
from unisono.wire.listen import ListenRequest, decode_listen
from unisono.wire.probe import party_tag
from unisono.wire.refusal import Reason, Refused

# Clocks of one device that are remembered as past: starts of it in one term.
PAST_CLOCKS: Final = 16


@dataclass(slots=True)
class _Lease:
    """What is known of one member; it is sent to ``to`` until ``until_ns`` of our clock."""

    clock_id: bytes
    asked_ns: OwnNs  # of its own clock, in its newest request
    past_clocks: deque[bytes] = field(default_factory=lambda: deque(maxlen=PAST_CLOCKS))
    to: Endpoint | None = None
    until_ns: int = 0


class Leases:
    """The leases of one term, one for each member at most."""

    def __init__(self, keys: KeyRing, *, term: int, members: Collection[str]) -> None:
        self._keys = keys
        self._term = term
        self._members = frozenset(map(party_tag, members))
        self._known: dict[bytes, _Lease] = {}

    def take(self, data: bytes, asker: Endpoint, now_ns: OwnNs) -> None:
        """Grant, prolong or end the lease that a message from ``asker`` is about.

        `Refused` for strangers, other terms, and what was said before.
        """
        request = decode_listen(data, self._keys)
        lease = self._admit(request)
        lease.to = asker if request.lease_ms else None
        lease.until_ns = now_ns + request.lease_ms * NS_PER_MS

    def holders(self, now_ns: OwnNs) -> Sequence[Endpoint]:
        """Where to send now."""
        known = self._known.values()
        return [x.to for x in known if x.to is not None and now_ns < x.until_ns]

    def _admit(self, request: ListenRequest) -> _Lease:
        if request.sender not in self._members:
            raise Refused(Reason.FOREIGN_SESSION, "asked by a device that is no member")
        if request.term != self._term:
            raise Refused(Reason.WRONG_MASTER, f"asked for term {request.term}")
        lease = self._known.get(request.sender)
        if lease is None:
            lease = self._known[request.sender] = _Lease(request.clock_id, request.own_ns)
        elif request.clock_id == lease.clock_id:
            if request.own_ns <= lease.asked_ns:
                raise Refused(Reason.LATE, "said before")
            lease.asked_ns = request.own_ns
        elif request.clock_id in lease.past_clocks:
            raise Refused(Reason.LATE, "said before that device was started again")
        else:
            lease.past_clocks.append(lease.clock_id)
            lease.clock_id, lease.asked_ns = request.clock_id, request.own_ns
        return lease
