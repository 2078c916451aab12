"""Who leads: the rule by which a master is chosen, the same at the start and at failover.

A device can lead if the cloud has heard of it within its lease: the session's, or three of its
own heartbeats if those take longer. Of those, in this order: the one that an operator has pinned;
one with a wired LAN before one that has not said, and that before one without; one whose wall
clock is healthy, likewise; the lowest id.
"""

from collections.abc import Iterable
from dataclasses import dataclass

# A device is silent when it missed this many heartbeats in a row: one may get lost, two are odd.
LEASE_HEARTBEATS = 3
# By so much the wall clocks of two instances may differ. What lies further in the future was
# written before a clock was put back, and says nothing about now.
MAX_AHEAD_MS = 5000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that might lead, and when the cloud last heard of it (server time; None: never).

    ``interval_ms`` is how often it says that it sends heartbeats; 0: it has not said. ``wired``
    and ``clock_healthy`` are None where it has not said.
    """

    device_id: str
    seen_ms: int | None
    interval_ms: int = 0
    wired: bool | None = None
    clock_healthy: bool | None = None


def own_lease_ms(interval_ms: int, lease_ms: int) -> int:
    """The lease of a device that sends heartbeats so often, in a session of that lease."""
    return max(lease_ms, interval_ms * LEASE_HEARTBEATS)


def is_alive(seen_ms: int | None, *, now_ms: int, lease_ms: int) -> bool:
    """Whether a device heard of at ``seen_ms`` still holds its lease."""
    seen_ms = past_ms(seen_ms, now_ms)
    return seen_ms is not None and now_ms - seen_ms <= lease_ms


def past_ms(at_ms: int | None, now_ms: int) -> int | None:
    """A time of something that has happened; None: not known, or it lies in the future."""
    return None if at_ms is None or at_ms > now_ms + MAX_AHEAD_MS else at_ms


def ranked(
    candidates: Iterable[Candidate], *, pinned: str = "", now_ms: int, lease_ms: int
) -> tuple[str, ...]:
    """The ids of the candidates that are alive, the one to lead first."""
    alive = [
        candidate
        for candidate in candidates
        if is_alive(
            candidate.seen_ms,
            now_ms=now_ms,
            lease_ms=own_lease_ms(candidate.interval_ms, lease_ms),
        )
    ]
    alive.sort(
        key=lambda c: (
            c.device_id != pinned,
            _worth(c.wired),
            _worth(c.clock_healthy),
            c.device_id,
        )
    )
    return tuple(candidate.device_id for candidate in alive)


def elect(
    candidates: Iterable[Candidate], *, pinned: str = "", now_ms: int, lease_ms: int
) -> str | None:
    """The id of the master; None when no candidate is alive."""
    return next(iter(ranked(candidates, pinned=pinned, now_ms=now_ms, lease_ms=lease_ms)), None)


def _worth(said: bool | None) -> int:
    """0 is best: yes, not said, no."""
    return 1 if said is None else int(not said) * 2
