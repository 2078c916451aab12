"""How far the real start was from the asked one, in ns of the wall clock: pure."""

import statistics
from dataclasses import dataclass, replace

from unisono.core.units import NS_PER_S, WallNs

# The first readings after unpausing are the player's least reliable: a median of five.
READINGS = 5
# Later than this, speed corrections would be mistaken for a late start.
WITHIN_NS = 2 * NS_PER_S


@dataclass(frozen=True, slots=True)
class StartError:
    """Collects the wall-clock instants at which phase 0 must have been, by each reading."""

    readings_ns: tuple[int, ...] = ()

    def add(self, *, start_at_ns: WallNs, phase_ns: int, wall_ns: WallNs) -> "StartError":
        """After reading ``phase_ns`` at ``wall_ns``; readings late in the film are ignored."""
        late = phase_ns > WITHIN_NS or abs(wall_ns - start_at_ns) > 2 * WITHIN_NS
        if late or len(self.readings_ns) >= READINGS:
            return self
        return replace(self, readings_ns=(*self.readings_ns, wall_ns - phase_ns - start_at_ns))

    @property
    def error_ns(self) -> int | None:
        """Real minus asked start; None until enough readings are in, or if none was early."""
        if len(self.readings_ns) < READINGS:
            return None
        return round(statistics.median(self.readings_ns))
