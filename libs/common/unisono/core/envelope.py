"""Envelope: the tightest limits of an offset, from both sides.

A limit says on which side of a value the offset was at one instant. Those of one stretch of time
are one bin, of which the tightest of each stream is kept. Old limits are worth less, so old bins
are merged: half seconds, then two, eight and 32 seconds, for ten minutes.

A stream is what goes the same way in the same manner, and so has one least delay: probes there,
probes back, beacons. An access point may hold multicast back that it would pass on at once for
one receiver, and a master may be quicker with an answer than with a beacon; taken for one, the
two would draw a slope where there is none as soon as their shares change.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from unisono.core.units import NS_PER_S

# The two sides, as signs: an upper limit is loosened upwards, a lower one downwards.
UPPER, LOWER = 1, -1
SIDES = (UPPER, LOWER)


class Stream(IntEnum):
    """Where a limit comes from."""

    REQUEST = 0
    REPLY = 1
    BEACON = 2

    @property
    def sign(self) -> int:
        """The side that its limits are of."""
        return _SIGNS[self]


_SIGNS = (UPPER, LOWER, LOWER)
STREAMS = tuple(Stream)
# By side.
STREAMS_OF = {sign: tuple(s for s in STREAMS if _SIGNS[s] == sign) for sign in SIDES}


# Short enough to learn 200 ppm within the first second.
BIN_NS = NS_PER_S // 2
# (up to this age, bins are so many half seconds long); what is older is forgotten. After a path has
# become worse the old limits carry the clock on: even at 0.3 ppm, to 0.2 ms after ten minutes.
SPANS = ((8 * NS_PER_S, 1), (32 * NS_PER_S, 4), (128 * NS_PER_S, 16), (600 * NS_PER_S, 64))


@dataclass(frozen=True, slots=True)
class Limit:
    """The offset was on one side of ``offset_ns`` at ``at_ns``."""

    at_ns: int
    offset_ns: int

    def carried_ns(self, to_ns: int, slope_ppb: int) -> int:
        """Where the line of that slope through it passes ``to_ns``."""
        return self.offset_ns + (to_ns - self.at_ns) * slope_ppb // NS_PER_S


@dataclass(slots=True)
class Bin:
    """The tightest limits of one stretch of time and how many there were, by stream."""

    number: int
    limits: dict[Stream, Limit] = field(default_factory=dict)
    counts: dict[Stream, int] = field(default_factory=dict)
    rtt_ns: int | None = None

    @property
    def newest_ns(self) -> int:
        """The instant of the youngest limit; there is one."""
        return max(limit.at_ns for limit in self.limits.values())

    def add(self, stream: Stream, limit: Limit, skew_ppb: int, count: int = 1) -> None:
        """Keep ``limit`` if it is the tightest here."""
        known = self.limits.get(stream)
        if known is None or is_tighter(limit, known, stream.sign, skew_ppb):
            self.limits[stream] = limit
        self.counts[stream] = self.counts.get(stream, 0) + count

    def absorb(self, other: "Bin", skew_ppb: int) -> None:
        """Make one bin of two."""
        for stream, limit in other.limits.items():
            self.add(stream, limit, skew_ppb, other.counts[stream])
        self.add_rtt(other.rtt_ns)

    def add_rtt(self, rtt_ns: int | None) -> None:
        """Keep the lowest round trip."""
        if rtt_ns is not None and (self.rtt_ns is None or rtt_ns < self.rtt_ns):
            self.rtt_ns = rtt_ns


def is_tighter(limit: Limit, known: Limit, sign: int, skew_ppb: int) -> bool:
    """Whether ``limit`` says at least as much as one of the same side."""
    return sign * (limit.carried_ns(known.at_ns, skew_ppb) - known.offset_ns) <= 0


def thinned(bins: Sequence[Bin], skew_ppb: int) -> list[Bin]:
    """The bins, old ones merged and the oldest forgotten; about sixty are left."""
    kept: list[Bin] = []
    for one in bins:
        age_ns = (bins[-1].number - one.number) * BIN_NS
        rank = bisect_left(SPANS, (age_ns, 0))
        if rank == len(SPANS):
            continue
        span = SPANS[rank][1]
        if kept and kept[-1].number // span == one.number // span:
            kept[-1].absorb(one, skew_ppb)
        else:
            kept.append(one)
    return kept
