"""Who leads: the rule by which a master is chosen, the same at the start and at failover.

A device can lead if the cloud has heard of it within the session's lease. Of those, the one an
operator has pinned leads; without a pin, the one with the lowest id.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that might lead, and when the cloud last heard of it (server time; None: never)."""

    device_id: str
    seen_ms: int | None


def is_alive(seen_ms: int | None, *, now_ms: int, lease_ms: int) -> bool:
    """Whether a device heard of at ``seen_ms`` still holds its lease."""
    return seen_ms is not None and now_ms - seen_ms <= lease_ms


def elect(
    candidates: Iterable[Candidate], *, pinned: str = "", now_ms: int, lease_ms: int
) -> str | None:
    """The id of the master; None when no candidate is alive."""
    alive = [
        candidate.device_id
        for candidate in candidates
        if is_alive(candidate.seen_ms, now_ms=now_ms, lease_ms=lease_ms)
    ]
    if pinned in alive:
        return pinned
    return min(alive, default=None)
