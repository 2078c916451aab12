"""The likeliest line between the limits of an offset: the skew, and where the edges are.

Its slope is the likeliest one for delays that have a least part and an exponential one: that of
the line for which the limits lie closest to their own stream's edge, each weighed by how much it
can say of now (Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay
measurements", INFOCOM 1999, with all streams at once, each with an edge of its own). How far off it
can be is confined by the limits themselves: the line must pass between all upper and all lower
ones.

Three things are not delays of one path at one rate, and are told apart here. What one side said
before the other has moved is loosened by that: the clock was slewed. Limits far from their edge
lose their weight: a burst, or a path that has become worse. And age loosens everything a little:
temperature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log

from unisono.core.envelope import LOWER, SIDES, STREAMS, STREAMS_OF, UPPER, Bin, Stream
from unisono.core.units import NS_PER_S

# Either clock's crystal is within 100 ppm, and its kernel slews it by 500 ppm at most.
PRIOR_SKEW_PPB = 1_200_000
# What two crystals usually differ by; counts only as long as nothing better is known.
USUAL_SKEW_PPB = 50_000
# What the offset strays from the line by temperature, per age of a limit.
WANDER_PPB = 150
# What the skew may be off by at least: no measurement makes us surer than this.
LEAST_SKEW_BOUND_PPB = 1_000
# Stamps of several processor cores may differ by so much.
STAMP_NOISE_NS = 5_000
# Two limits say something of the slope from this distance on.
APART_S = 0.5
# Mean delays are learnt from so many bins of a side.
MEAN_OF_BINS = 20
# The tightest of a side misses the edge by so many times its mean miss in 1 % of cases.
LUCK = 4.6
# Limits so many mean misses from the edge are a burst's, or another path's: one in 3,000 by chance.
FAR = 8.0
# Halvings of the range of slopes: to 1 ppb.
HALVINGS = 22


@dataclass(frozen=True, slots=True)
class Line:
    """The skew, how far off it can be; by side, where the edge is.

    ``edges_ns`` are the offset's likely edges at the instant of the fit, without the least delays.
    """

    skew_ppb: int = 0
    skew_bound_ppb: int = PRIOR_SKEW_PPB
    edges_ns: dict[int, int] = field(default_factory=dict)

    def slope_ppb(self, sign: int, doubt_ppb: int) -> int:
        """The slope along which a limit of that side is carried on: loosened by the doubt."""
        return self.skew_ppb + sign * doubt_ppb


@dataclass(slots=True)
class _Point:
    """A limit as it looks from the instant of the fit: turned so that the lower is the tighter."""

    age_s: float
    height_ns: float
    count: int
    weight: float = 0.0
    loosened_ns: float = 0.0

    def at_ns(self, slope_ppb: float) -> float:
        """Its height, carried on to now."""
        return self.height_ns + slope_ppb * self.age_s


def fit(bins: Sequence[Bin], at_ns: int, before: Line) -> Line | None:
    """The likeliest line at ``at_ns``; None where no line passes between the limits."""
    base_ns = next((limit.offset_ns for one in bins for limit in one.limits.values()), 0)
    points = {stream: _points(bins, stream, at_ns, base_ns) for stream in STREAMS}
    for stream in STREAMS:
        mean_ns = _mean_ns(points[stream], stream.sign * before.skew_ppb)
        _weigh(points[stream], mean_ns)
    _loosen(points, before.skew_ppb)
    for stream in STREAMS:
        _doubt(points[stream], stream.sign * before.skew_ppb)
    hulls = {stream: _hull(points[stream]) for stream in STREAMS}
    most_ppb, least_ppb = _slopes(hulls)
    if most_ppb < least_ppb - LEAST_SKEW_BOUND_PPB:
        return None
    skew_ppb = min(max(_likeliest(points, hulls), least_ppb), most_ppb)
    off_ppb = max(most_ppb - skew_ppb, skew_ppb - least_ppb, 0)
    edges_ns = {
        sign: base_ns + sign * round(min(edges))
        for sign in SIDES
        if (
            edges := [
                _edge_ns(points[s], hulls[s], sign * skew_ppb)
                for s in STREAMS_OF[sign]
                if points[s]
            ]
        )
    }
    return Line(round(skew_ppb), round(off_ppb) + LEAST_SKEW_BOUND_PPB, edges_ns)


def _edge_ns(points: Sequence[_Point], hull: Sequence[_Point], slope_ppb: float) -> float:
    """Where a stream's edge likely is: the tightest of all misses it by so much on average."""
    tightest_ns = _lowest(hull, slope_ppb).at_ns(slope_ppb)
    return tightest_ns - 1 / sum(point.weight for point in points)


def _points(bins: Sequence[Bin], stream: Stream, at_ns: int, base_ns: int) -> list[_Point]:
    """One stream's limits, oldest first, each loosened by what clocks wander in its age."""
    found = []
    for one in bins:
        limit = one.limits.get(stream)
        if limit is not None:
            age_s = (at_ns - limit.at_ns) / NS_PER_S
            height_ns = stream.sign * (limit.offset_ns - base_ns) + WANDER_PPB * abs(age_s)
            found.append(_Point(age_s, height_ns, one.counts[stream]))
    found.sort(key=lambda point: -point.age_s)
    return found


def _mean_ns(points: Sequence[_Point], slope_ppb: float) -> float:
    """The mean delay of a message beyond the least, by how much neighbouring bins differ.

    Whatever the least delay is, the fastest of n messages exceeds it by a mean / n on average, and
    two such differ by as much. The median leaves out bursts and changes of the path.
    """
    recent = points[-MEAN_OF_BINS:]
    heights = [point.at_ns(slope_ppb) for point in recent]
    differences = sorted(
        abs(heights[i + 1] - heights[i]) * min(recent[i].count, recent[i + 1].count)
        for i in range(len(recent) - 1)
    )
    median_ns = differences[len(differences) // 2] if differences else 0.0
    return max(median_ns / log(2), STAMP_NOISE_NS)


def _weigh(points: Sequence[_Point], mean_ns: float) -> None:
    """A limit says where the offset is now to within its fastest message's wait and the wander."""
    for point in points:
        point.weight = 1 / (mean_ns / point.count + WANDER_PPB * abs(point.age_s))


def _loosen(points: dict[Stream, list[_Point]], skew_ppb: float) -> None:
    """Loosen what one side said before the other has moved.

    Where the younger limits of a stream are tighter than all older ones, by more than luck
    explains, the clock was slewed, or that direction became faster. So what the other side said
    back then is to be doubted by as much. What that leaves of one side may tell more of the other,
    hence three rounds: beacons tell most, so they begin.
    """
    for sign in (UPPER, LOWER, UPPER):
        for other in STREAMS_OF[-sign]:
            steps = _moved(points[other], -sign * skew_ppb)
            for stream in STREAMS_OF[sign]:
                _loosen_by(points[stream], steps)


def _loosen_by(points: Sequence[_Point], steps: Sequence[tuple[float, float]]) -> None:
    """Loosen each point by the largest of the steps, youngest first, that came after it."""
    i, by_ns = 0, 0.0
    for point in reversed(points):
        while i < len(steps) and steps[i][0] <= point.age_s:
            by_ns = max(by_ns, steps[i][1])
            i += 1
        more_ns = by_ns - point.loosened_ns
        if more_ns > 0:
            point.loosened_ns = by_ns
            point.height_ns += more_ns
            point.weight = 1 / (1 / point.weight + more_ns)


def _moved(points: Sequence[_Point], slope_ppb: float) -> list[tuple[float, float]]:
    """By age, youngest first: how much tighter all that is younger is than all that is not."""
    heights = [point.at_ns(slope_ppb) for point in points]
    older: list[tuple[float, float]] = []  # the tightest up to there, and what luck explains
    tightest_ns, weight = inf, 0.0
    for point, height_ns in zip(points, heights, strict=True):
        tightest_ns = min(tightest_ns, height_ns)
        weight += point.weight
        older.append((tightest_ns, LUCK / weight))
    found, younger_ns = [], inf
    for i in range(len(points) - 1, -1, -1):
        tightest_ns, luck_ns = older[i]
        if younger_ns + luck_ns < tightest_ns:
            found.append((points[i].age_s, tightest_ns - younger_ns))
        younger_ns = min(younger_ns, heights[i])
    return found


def _doubt(points: Sequence[_Point], slope_ppb: float) -> None:
    """Take weight from limits too far from the edge for chance: a burst, or a worse path."""
    edge_ns = min((point.at_ns(slope_ppb) for point in points), default=0.0)
    for point in points:
        off = (point.at_ns(slope_ppb) - edge_ns) * point.weight / FAR
        point.weight /= 1 + off**4


def _hull(points: Sequence[_Point]) -> list[_Point]:
    """The points that can be the lowest at some slope: the lower convex hull."""
    hull: list[_Point] = []
    for point in points:
        while len(hull) > 1:
            first, second = hull[-2], hull[-1]
            along = (first.age_s - second.age_s) * (point.height_ns - first.height_ns)
            if along > (first.age_s - point.age_s) * (second.height_ns - first.height_ns):
                break
            hull.pop()
        hull.append(point)
    return hull


def _slopes(hulls: dict[Stream, list[_Point]]) -> tuple[float, float]:
    """The largest and the smallest slope of a line between both sides.

    Any pair of an upper and a lower limit at two times confines it from one side.
    """
    most_ppb, least_ppb = float(PRIOR_SKEW_PPB), -float(PRIOR_SKEW_PPB)
    lowers = [point for stream in STREAMS_OF[LOWER] for point in hulls[stream]]
    for upper in (point for stream in STREAMS_OF[UPPER] for point in hulls[stream]):
        for lower in lowers:
            apart_s = lower.age_s - upper.age_s
            if apart_s > APART_S:
                most_ppb = min(most_ppb, (upper.height_ns + lower.height_ns) / apart_s)
            elif apart_s < -APART_S:
                least_ppb = max(least_ppb, (upper.height_ns + lower.height_ns) / apart_s)
    return most_ppb, least_ppb


def _likeliest(points: dict[Stream, list[_Point]], hulls: dict[Stream, list[_Point]]) -> float:
    """The slope at which the weighed distances of all limits from their edges are least.

    Their sum is convex in the slope, so its derivative has one change of sign.
    """
    constant = 0.0
    edges: list[tuple[int, float, list[_Point]]] = []
    for stream in STREAMS:
        if points[stream]:
            constant += stream.sign * sum(p.age_s * p.weight for p in points[stream])
            total = sum(point.weight for point in points[stream])
            edges.append((stream.sign, total, hulls[stream]))
    low, high = -float(PRIOR_SKEW_PPB), float(PRIOR_SKEW_PPB)
    for _ in range(HALVINGS):
        slope_ppb = (low + high) / 2
        rising = constant + (1 if slope_ppb > 0 else -1) / USUAL_SKEW_PPB
        for sign, total, hull in edges:
            rising -= sign * total * _lowest(hull, sign * slope_ppb).age_s
        if rising > 0:
            high = slope_ppb
        else:
            low = slope_ppb
    return (low + high) / 2


def _lowest(hull: Sequence[_Point], slope_ppb: float) -> _Point:
    """The point that confines most where limits are carried on along that slope."""
    return min(hull, key=lambda point: point.height_ns + slope_ppb * point.age_s)
