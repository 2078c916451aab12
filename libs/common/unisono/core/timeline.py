"""Timeline: the function from a clock reading to the phase due at that instant.

It depends on no player. The playlist repeats for ever; phase runs from 0 to the playlist's
length and wraps. Before the start, phase is negative: a countdown to the first frame.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaItem:
    """One film of a playlist: where it lies, how long it runs, what it must contain."""

    uri: str
    duration_ns: int
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Playlist:
    """Films shown one after the other, then again from the first."""

    items: tuple[MediaItem, ...]

    @property
    def length_ns(self) -> int:
        """Length of one loop."""
        return sum(item.duration_ns for item in self.items)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Phase as a straight line over one clock, wrapped at the playlist's length.

    ``origin_ns`` is the instant of phase 0 on the clock that the timeline lives on (the
    master's in LAN mode, the wall clock in cloud mode); the caller keeps the domain.
    """

    origin_ns: int
    length_ns: int
    speed: float = 1.0

    def elapsed_ns(self, at_ns: int) -> int:
        """Media time since phase 0, not wrapped; negative before the start."""
        since_ns = at_ns - self.origin_ns
        return since_ns if self.speed == 1.0 else round(since_ns * self.speed)

    def phase_ns(self, at_ns: int) -> int:
        """Phase due at ``at_ns``: wrapped once started, a negative countdown before."""
        elapsed_ns = self.elapsed_ns(at_ns)
        return elapsed_ns if elapsed_ns < 0 else elapsed_ns % self.length_ns


def wrap_error_ns(error_ns: int, length_ns: int) -> int:
    """The signed phase difference nearest to zero, in [-length/2, length/2)."""
    half_ns = length_ns // 2
    return (error_ns + half_ns) % length_ns - half_ns
