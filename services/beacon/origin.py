"""Where a master's timeline begins on its own clock, and what a follower knows of it. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from unisono.core.clockmap import ClockMap
from unisono.core.timeline import Timeline, wrap_error_ns
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs, WallNs

# Phases travel in floats of ms.
ROUNDING_NS: Final = 1_000
# A former master knew its own clock exactly; as another's, it is worth what a crystal is.
CRYSTAL_PPB: Final = 100_000
# A new master's clock replaces the old one's when it is known as well as that, ...
GOOD_BOUND_NS: Final = 2 * NS_PER_MS
# ... or when it has had this long to become better.
PATIENCE_NS: Final = 3 * NS_PER_S


@dataclass(frozen=True, slots=True)
class View:
    """A session's timeline and the way to the clock it lives on: enough to play by."""

    session_id: str
    timeline: Timeline
    clock_map: ClockMap


@dataclass(frozen=True, slots=True)
class Origin:
    """Phase 0 on the own clock. Not ``settled``: to be asked again of the wall clock."""

    own_ns: OwnNs
    settled: bool


@dataclass(frozen=True, slots=True)
class Instant:
    """One instant, read on both clocks."""

    own_ns: OwnNs
    wall_ns: WallNs


def wall_origin(start_at_ms: int, now: Instant) -> Origin:
    """The start as the wall clock says now; settled once it has passed."""
    own_ns = OwnNs(now.own_ns + start_at_ms * NS_PER_MS - now.wall_ns)
    return Origin(own_ns, settled=now.own_ns >= own_ns)


def continued_origin(view: View, own_ns: OwnNs) -> Origin:
    """The same timeline on the own clock, without a step at ``own_ns``."""
    elapsed_ns = view.timeline.elapsed_ns(view.clock_map.to_master(own_ns))
    return Origin(OwnNs(own_ns - round(elapsed_ns / view.timeline.speed)), settled=True)


def first_origin(
    *,
    start_at_ms: int,
    now: Instant,
    view: View | None,
    stored_own_ns: OwnNs | None,
) -> Origin:
    """The origin at taking the lead: as followed, else as stored, else by the wall clock.

    ``view`` is what this device knows of the same session; ``stored_own_ns`` an origin kept in
    this very boot, which the screens have played by: a wall clock set since must move none.
    """
    if view is not None:
        return continued_origin(view, now.own_ns)
    if stored_own_ns is not None:
        return Origin(stored_own_ns, settled=True)
    return wall_origin(start_at_ms, now)


def same_timeline(known: Timeline | None, told: Timeline) -> Timeline:
    """``known`` when ``told`` says the same of every phase, to rounding; else ``told``."""
    if known is None or (known.length_ns, known.speed) != (told.length_ns, told.speed):
        return told
    apart_ns = wrap_error_ns(told.origin_ns - known.origin_ns, told.length_ns)
    later = told.origin_ns >= known.origin_ns - ROUNDING_NS  # a loop or more, not a countdown
    return known if abs(apart_ns) <= ROUNDING_NS and later else told


def as_followed(view: View) -> View:
    """``view`` as a follower may hold it: without the leader its bound grows, however exact."""
    doubt_ppb = view.clock_map.skew_bound_ppb or CRYSTAL_PPB
    return replace(view, clock_map=replace(view.clock_map, skew_bound_ppb=doubt_ppb))


def is_better(new: ClockMap, old: View | None, *, known_for_ns: int, now_ns: OwnNs) -> bool:
    """Whether a new master's map is good enough to leave the old view for it."""
    if old is None or known_for_ns >= PATIENCE_NS:
        return True
    return new.bound_ns <= max(GOOD_BOUND_NS, old.clock_map.bound_at_ns(now_ns))
