"""LISTEN: a follower asks its master to send it beacons by unicast, for a short while."""

from dataclasses import dataclass
from typing import Final

from unisono.core.units import OwnNs
from unisono.wire.keys import KeyRing
from unisono.wire.refusal import Reason, Refused
from unisono.wire.small import Kind, Small, seal, unseal

# A lease that nobody renews must end before long: its follower may be gone.
MAX_LEASE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """Beacons of ``term``, please, to where this came from, for ``lease_ms``; 0 ends it.

    ``sender`` is the follower's `party_tag`, ``clock_id`` (8 bytes) names its clock and
    ``own_ns`` is read from it: for one sender and clock it rises, so that none counts twice.
    """

    term: int
    sender: bytes
    clock_id: bytes
    own_ns: OwnNs
    lease_ms: int


def encode_listen(request: ListenRequest, keys: KeyRing) -> bytes:
    """The signed 80 bytes; `Refused` when a value cannot travel."""
    _check(request)
    stamps = (request.own_ns, request.lease_ms, 0)
    return seal(Kind.LISTEN, Small(request.term, request.sender, request.clock_id, stamps), keys)


def decode_listen(data: bytes, keys: KeyRing) -> ListenRequest:
    """The request in ``data``, verified; `Refused` says why not."""
    term, sender, clock_id, (own_ns, lease_ms, rest) = unseal(data, Kind.LISTEN, keys)
    if rest != 0:
        raise Refused(Reason.FIELD, "the third stamp is not zero")
    request = ListenRequest(term, sender, clock_id, OwnNs(own_ns), lease_ms)
    _check(request)
    return request


def _check(request: ListenRequest) -> None:
    if not 0 <= request.lease_ms <= MAX_LEASE_MS:
        raise Refused(Reason.FIELD, f"a lease of {request.lease_ms} ms")
