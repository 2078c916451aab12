"""Probes: a follower's question for the master's clock, and its answer.

Both are datagrams of one fixed size, so that an answer is never longer than what asked for it.
Layout in ``docs/protocol.md``; all numbers big-endian.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from unisono.core.units import MasterNs, OwnNs
from unisono.wire.keys import MAX_TERM, SIGNATURE_BYTES, KeyRing, check_signature, key_id, sign
from unisono.wire.refusal import Reason, Refused

PROBE_VERSION: Final = 1
PROBE_BYTES: Final = 80

_MAGIC: Final = b"UP"
_REQUEST: Final = 1
_REPLY: Final = 2
# magic, version, kind, key id, session, term, sender, nonce, t1, t2, t3; then the signature.
_BODY: Final = struct.Struct(">2sBB4s8sQ8sQqqq")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Sent at ``own_sent_ns`` of the follower's clock; ``sender`` is its `party_tag`."""

    term: int
    sender: bytes
    nonce: int
    own_sent_ns: OwnNs


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """The request's nonce and stamp, and the master's own two stamps."""

    term: int
    sender: bytes
    nonce: int
    own_sent_ns: OwnNs
    master_received_ns: MasterNs
    master_sent_ns: MasterNs


def party_tag(device_id: str) -> bytes:
    """8 bytes that stand for a device's id in a probe."""
    return sha256(b"device\0" + device_id.encode()).digest()[:8]


def encode_request(request: ProbeRequest, keys: KeyRing) -> bytes:
    """The signed 80 bytes of a request."""
    stamps = (request.own_sent_ns, 0, 0)
    return _pack(_REQUEST, keys, request, stamps)


def encode_reply(reply: ProbeReply, keys: KeyRing) -> bytes:
    """The signed 80 bytes of a reply."""
    stamps = (reply.own_sent_ns, reply.master_received_ns, reply.master_sent_ns)
    return _pack(_REPLY, keys, reply, stamps)


def decode_request(data: bytes, keys: KeyRing) -> ProbeRequest:
    """The request in ``data``, verified; `Refused` says why not."""
    term, sender, nonce, stamps = _unpack(data, _REQUEST, keys)
    if stamps[1:] != (0, 0):
        raise Refused(Reason.FIELD, "a request carries one time stamp only")
    return ProbeRequest(term, sender, nonce, OwnNs(stamps[0]))


def decode_reply(data: bytes, keys: KeyRing) -> ProbeReply:
    """The reply in ``data``, verified; `Refused` says why not."""
    term, sender, nonce, (sent_ns, there_ns, back_ns) = _unpack(data, _REPLY, keys)
    return ProbeReply(term, sender, nonce, OwnNs(sent_ns), MasterNs(there_ns), MasterNs(back_ns))


def _pack(
    kind: int, keys: KeyRing, probe: ProbeRequest | ProbeReply, stamps: tuple[int, int, int]
) -> bytes:
    key = keys.key_of_term(probe.term)
    head = (_MAGIC, PROBE_VERSION, kind, key_id(key), keys.session_tag)
    body = _BODY.pack(*head, probe.term, probe.sender, probe.nonce, *stamps)
    return body + sign(key, body)


def _unpack(
    data: bytes, wanted: int, keys: KeyRing
) -> tuple[int, bytes, int, tuple[int, int, int]]:
    if len(data) != PROBE_BYTES:
        raise Refused(Reason.SIZE, f"{len(data)} bytes")
    body, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    magic, version, kind, kid, tag, term, sender, nonce, t1, t2, t3 = _BODY.unpack(body)
    if magic != _MAGIC:
        raise Refused(Reason.MALFORMED, "not a probe")
    if version != PROBE_VERSION:
        raise Refused(Reason.VERSION, f"version {version}")
    if kind != wanted:
        raise Refused(Reason.FIELD, "a request where a reply belongs, or the reverse")
    if tag != keys.session_tag:
        raise Refused(Reason.FOREIGN_SESSION)
    if term > MAX_TERM:
        raise Refused(Reason.FIELD, "term out of range")
    check_signature(keys.key_of_term(term), kid, body, signature)
    return term, sender, nonce, (t1, t2, t3)
