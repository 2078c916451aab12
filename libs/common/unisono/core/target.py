"""Target: the phase due at any instant of the own clock, with its error bound."""

from dataclasses import dataclass
from typing import Final

from unisono.core.clockmap import ClockMap
from unisono.core.timeline import Timeline, wrap_error_ns
from unisono.core.units import MasterNs, OwnNs, WallNs

# An undisciplined wall clock may be slewed by this much while the session runs.
WALL_SKEW_BOUND_PPB: Final = 500_000


@dataclass(frozen=True, slots=True)
class Target:
    """A timeline and the map from the own clock to the clock that the timeline lives on."""

    timeline: Timeline
    clock_map: ClockMap

    @property
    def length_ns(self) -> int:
        """Length of one loop."""
        return self.timeline.length_ns

    def elapsed_ns(self, own_ns: OwnNs) -> int:
        """Media time due since the start, not wrapped; negative before the start."""
        return self.timeline.elapsed_ns(self.clock_map.to_master(own_ns))

    def phase_ns(self, own_ns: OwnNs) -> int:
        """Phase due; negative before the start."""
        return self.timeline.phase_ns(self.clock_map.to_master(own_ns))

    def instant_of(self, elapsed_ns: int) -> OwnNs:
        """The instant of the own clock at which ``elapsed_ns`` of media time is due."""
        since_ns = round(elapsed_ns / self.timeline.speed)
        return self.clock_map.to_own(MasterNs(self.timeline.origin_ns + since_ns))

    def drift_ns(self, phase_ns: int, own_ns: OwnNs) -> int:
        """How far a player at ``phase_ns`` is ahead (> 0) of what is due at ``own_ns``."""
        return wrap_error_ns(phase_ns - self.elapsed_ns(own_ns), self.length_ns)

    def bound_ns(self, own_ns: OwnNs) -> int:
        """Error bound of the phase due, from the clock map."""
        return self.clock_map.bound_at_ns(own_ns)


def wall_target(
    *, start_at_ns: WallNs, length_ns: int, own_ns: OwnNs, wall_ns: WallNs, bound_ns: int
) -> Target:
    """The target of cloud mode: phase 0 at ``start_at_ns`` of the wall clock.

    ``own_ns`` and ``wall_ns`` are one instant read on both clocks; ``bound_ns`` is what the
    wall clock may be wrong by.
    """
    wall_map = ClockMap(own_ns, wall_ns - own_ns, 0, bound_ns, WALL_SKEW_BOUND_PPB)
    return Target(Timeline(start_at_ns, length_ns), wall_map)
