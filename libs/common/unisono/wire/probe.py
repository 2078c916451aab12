"""Probes: a follower's question for the master's clock, and its answer."""

from dataclasses import dataclass

from unisono.core.units import MasterNs, OwnNs
from unisono.wire.keys import KeyRing
from unisono.wire.refusal import Reason, Refused
from unisono.wire.small import SMALL_BYTES as PROBE_BYTES
from unisono.wire.small import TAG_BYTES, Kind, Small, party_tag, seal, unseal

MAX_NONCE = 2**64 - 1

__all__ = [
    "PROBE_BYTES",
    "ProbeReply",
    "ProbeRequest",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "party_tag",
]


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


def encode_request(request: ProbeRequest, keys: KeyRing) -> bytes:
    """The signed 80 bytes of a request; `Refused` when a value cannot travel."""
    return seal(Kind.REQUEST, _small(request, (request.own_sent_ns, 0, 0)), keys)


def encode_reply(reply: ProbeReply, keys: KeyRing) -> bytes:
    """The signed 80 bytes of a reply; `Refused` when a value cannot travel."""
    stamps = (reply.own_sent_ns, reply.master_received_ns, reply.master_sent_ns)
    return seal(Kind.REPLY, _small(reply, stamps), keys)


def decode_request(data: bytes, keys: KeyRing) -> ProbeRequest:
    """The request in ``data``, verified; `Refused` says why not."""
    term, sender, token, stamps = unseal(data, Kind.REQUEST, keys)
    if stamps[1:] != (0, 0):
        raise Refused(Reason.FIELD, "a request carries one time stamp only")
    return ProbeRequest(term, sender, int.from_bytes(token, "big"), OwnNs(stamps[0]))


def decode_reply(data: bytes, keys: KeyRing) -> ProbeReply:
    """The reply in ``data``, verified; `Refused` says why not."""
    term, sender, token, (sent_ns, there_ns, back_ns) = unseal(data, Kind.REPLY, keys)
    nonce = int.from_bytes(token, "big")
    return ProbeReply(term, sender, nonce, OwnNs(sent_ns), MasterNs(there_ns), MasterNs(back_ns))


def _small(probe: ProbeRequest | ProbeReply, stamps: tuple[int, int, int]) -> Small:
    if not 0 <= probe.nonce <= MAX_NONCE:
        raise Refused(Reason.FIELD, "a nonce beyond 64 bits")
    return Small(probe.term, probe.sender, probe.nonce.to_bytes(TAG_BYTES, "big"), stamps)
