"""What was seen of one row, and whether its limits hold. Pure."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tests.netlab.scenarios import Limits


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a follower's clock map: error and bound where the map was made."""

    at_s: float
    error_ms: float
    bound_ms: float


@dataclass(slots=True)
class Followed:
    """One follower over the time that is judged."""

    seen: list[Seen] = field(default_factory=list)
    lost: int = 0
    path: str = ""
    back_s: float | None = None  # after the event's end, to 0.2 s; None: not at all


@dataclass(frozen=True, slots=True)
class Figures:
    """The worst follower's figures; errors are of all of them together."""

    count: int
    bias_ms: float  # mean error with its sign: what does not come from chance
    mean_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bound_mean_ms: float
    outside_bound_ratio: float
    lost: int
    back_s: float | None
    paths: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def figures(followers: list[Followed]) -> Figures:
    """Sum up; ValueError when nothing was seen of one of them."""
    if not all(f.seen for f in followers):
        raise ValueError("a follower never had a clock map")
    errors = sorted(abs(s.error_ms) for f in followers for s in f.seen)
    bounds = [s.bound_ms for f in followers for s in f.seen]
    outside = sum(abs(s.error_ms) > s.bound_ms for f in followers for s in f.seen)
    backs = [f.back_s for f in followers]
    return Figures(
        count=len(errors),
        bias_ms=sum(s.error_ms for f in followers for s in f.seen) / len(errors),
        mean_ms=sum(errors) / len(errors),
        p50_ms=errors[len(errors) // 2],
        p99_ms=errors[min(len(errors) - 1, len(errors) * 99 // 100)],
        max_ms=errors[-1],
        bound_mean_ms=sum(bounds) / len(bounds),
        outside_bound_ratio=outside / len(errors),
        lost=max(f.lost for f in followers),
        back_s=None if None in backs else max(b for b in backs if b is not None),
        paths=tuple(sorted({f.path for f in followers})),
    )


def faults(found: Figures, limits: Limits, path: str | None, *, slack: float = 1.0) -> list[str]:
    """What does not hold, in words; errors may be ``slack`` times their limits.

    That beacons are back later is not excused by the errors' slack, but for a second's stall.
    """
    out = []
    for name, value, limit in (
        ("mean error", found.mean_ms, limits.mean_ms * slack),
        ("p99 of the error", found.p99_ms, limits.p99_ms * slack),
    ):
        if value > limit:
            out.append(f"{name} {value:.3f} ms, not {limit:g}")
    if found.outside_bound_ratio > limits.outside_bound_ratio:
        out.append(f"{found.outside_bound_ratio:.2%} of the errors are beyond their bound")
    if limits.lost is not None and found.lost > limits.lost:
        out.append(f"{found.lost} beacons lost, not {limits.lost}")
    if limits.back_s is not None:
        back_s = limits.back_s + (1.0 if slack > 1 else 0.0)
        if found.back_s is None or found.back_s > back_s:
            out.append(f"beacons back after {found.back_s} s, not {back_s:g}")
    if path is not None and set(found.paths) != {path}:
        out.append(f"beacons come by {', '.join(found.paths)}, not {path}")
    return out
