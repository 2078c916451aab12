"""Clock estimator: from probes and beacons to a clock map with an honest bound.

Every message confines the offset (master minus own) from one side, because no delay is
negative: what the master received at ``t2`` of a probe sent at ``t1`` says
``offset <= t2 - t1``; what it sent at ``t3`` and we received at ``t4`` says
``offset >= t3 - t4``, and so does each beacon. The estimate is the middle of the tightest
corridor. Queueing only ever loosens a constraint, so slow messages need no filter: they do not
count.

Constraints age. With a skew known to within ``u``, one that is ``a`` old is loosened by
``u * a``. The skew comes from the corridor as well: a straight line must pass between all
upper and all lower constraints (Moon, Skelly and Towsley, "Estimation and removal of clock
skew from network delay measurements", INFOCOM 1999, with both directions at once), which
confines its slope to an interval; its middle is the estimate and its half width is ``u``.

Clocks are disciplined: their rate changes when a time daemon slews them, and then old
constraints contradict new ones. As delays cannot cause that, new ones win: the older half is
forgotten until the rest agrees. A contradiction too large for a slew is a step, of a suspended
or another machine, or one broken stamp: three in a row are believed.

The bound reaches from the estimate to the far side of the corridor that the last few seconds
give by themselves, loosened by as much as a slew could have done since: a change of rate too
young to contradict anything is inside it. What none of this can see is an asymmetry of the
*least* delays of the two directions that lasts; half of it is in the estimate, and all of it in
the bound.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from unisono.core.clockmap import ClockMap
from unisono.core.units import NS_PER_MS, NS_PER_S, PPB, MasterNs, OwnNs, scale_ppb

# One constraint of each side is kept per bin: the tightest. 64 bins of 2 s are long enough to
# know the skew to 1.5 ppm over a corridor of 0.2 ms, and short enough to follow temperature.
BIN_NS = 2 * NS_PER_S
MAX_BINS = 64
# Either clock's crystal is within 100 ppm, and its kernel slews it by 500 ppm at most.
PRIOR_SKEW_PPB = 1_200_000
# What the skew may wander within the window; no measurement makes us surer than this.
WANDER_PPB = 1_000
# Bins whose constraints alone must hold for the bound, and the slew it allows for meanwhile:
# time daemons mend small offsets at some tens of ppm.
FRESH_BINS = 2
FRESH_SLEW_PPB = 50_000
# Stamps of several processor cores may differ by so much.
STAMP_NOISE_NS = 5_000
# A slew of 500 ppm needs ten seconds for this; what contradicts by more is a step.
STEP_NS = 5 * NS_PER_MS
# That many contradictions of one side in a row are a step, fewer are a broken stamp.
STEPS_AFTER = 3
# One-way delay assumed when only beacons come: a LAN's typical delay, and a bound to match.
ONE_WAY_DELAY_NS = 500_000
ONE_WAY_BOUND_NS = 5 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """One exchange: sent and received by us (own clock), received and sent by the master."""

    own_sent_ns: OwnNs
    master_received_ns: MasterNs
    master_sent_ns: MasterNs
    own_received_ns: OwnNs

    @property
    def rtt_ns(self) -> int:
        """Time on the path, both ways, without the master's own."""
        away_ns = self.own_received_ns - self.own_sent_ns
        return away_ns - (self.master_sent_ns - self.master_received_ns)


@dataclass(frozen=True, slots=True)
class BeaconSample:
    """One beacon: the master's stamp at sending, ours at receipt."""

    master_sent_ns: MasterNs
    own_received_ns: OwnNs


@dataclass(frozen=True, slots=True)
class _Limit:
    """The offset was on one side of ``offset_ns`` at ``at_ns``."""

    at_ns: int
    offset_ns: int


@dataclass(slots=True)
class _Bin:
    """The tightest limits seen in one stretch of time, by side."""

    number: int
    limits: dict[int, _Limit] = field(default_factory=dict)
    rtt_ns: int | None = None


# The two sides, as signs: an upper limit is loosened upwards, a lower one downwards.
_UPPER, _LOWER = 1, -1


class ClockEstimator:
    """Estimates the master's clock from this device's own; see the head of this module."""

    def __init__(self) -> None:
        self._bins: deque[_Bin] = deque(maxlen=MAX_BINS)
        self._skew_ppb = 0
        self._skew_bound_ppb = PRIOR_SKEW_PPB
        # The corridor's sides at one reference instant; carried from there to any other.
        self._reference_ns = 0
        self._corridor: dict[int, int] = {}
        self._against: Counter[int] = Counter()  # contradictions in a row, by side
        self._doubt_ns = 0  # the largest of them

    def reset(self) -> None:
        """Forget everything: another master, another clock."""
        self._bins.clear()
        self._skew_ppb = 0
        self._skew_bound_ppb = PRIOR_SKEW_PPB
        self._corridor.clear()
        self._against.clear()
        self._doubt_ns = 0

    @property
    def min_rtt_ns(self) -> int | None:
        """Lowest round trip of the window; None before the first probe."""
        return min((b.rtt_ns for b in self._bins if b.rtt_ns is not None), default=None)

    def add_probe(self, sample: ProbeSample) -> None:
        """Use a two-way exchange: it confines the offset from both sides."""
        if sample.rtt_ns < 0 or sample.own_received_ns < sample.own_sent_ns:
            return  # stamps that no path can produce; a step in the middle of the exchange
        upper_ns = sample.master_received_ns - sample.own_sent_ns
        lower_ns = sample.master_sent_ns - sample.own_received_ns
        self._take(_Limit(sample.own_sent_ns, upper_ns), _UPPER, sample.own_received_ns)
        self._take(_Limit(sample.own_received_ns, lower_ns), _LOWER, sample.own_received_ns)
        if self._bins:
            newest = self._bins[-1]
            newest.rtt_ns = min(newest.rtt_ns or sample.rtt_ns, sample.rtt_ns)

    def add_beacon(self, sample: BeaconSample) -> None:
        """Use a one-way beacon: it confines the offset from below."""
        offset_ns = sample.master_sent_ns - sample.own_received_ns
        limit = _Limit(sample.own_received_ns, offset_ns)
        self._take(limit, _LOWER, sample.own_received_ns)

    def clock_map(self, now_ns: OwnNs) -> ClockMap | None:
        """The map as known at ``now_ns``; None while nothing came from the master.

        The bound holds as long as no clock is slewed by more than ``FRESH_SLEW_PPB`` at once.
        """
        if _LOWER not in self._corridor:
            return None
        if _UPPER not in self._corridor:
            offset_ns, bound_ns = self._one_way(now_ns)
        else:
            since_ns = now_ns - self._reference_ns
            upper_ns = self._corridor[_UPPER] + scale_ppb(since_ns, self._slope_ppb(_UPPER))
            lower_ns = self._corridor[_LOWER] + scale_ppb(since_ns, self._slope_ppb(_LOWER))
            offset_ns = (upper_ns + lower_ns) // 2
            bound_ns = abs(upper_ns - lower_ns) // 2
            for sign in (_UPPER, _LOWER):
                reach_ns = self._fresh_ns(sign, now_ns, self._reach_ppb)
                if reach_ns is not None:
                    bound_ns = max(bound_ns, sign * (reach_ns - offset_ns))
        bound_ns = max(bound_ns, self._doubt_ns) + STAMP_NOISE_NS
        return ClockMap(now_ns, offset_ns, self._skew_ppb, bound_ns, self._skew_bound_ppb)

    @property
    def _reach_ppb(self) -> int:
        return max(self._skew_bound_ppb, FRESH_SLEW_PPB)

    def _one_way(self, now_ns: OwnNs) -> tuple[int, int]:
        """Offset and bound from lower limits alone: the fastest recent beacon, and a guess."""
        fastest_ns = self._fresh_ns(_LOWER, now_ns, 0)
        assert fastest_ns is not None  # noqa: S101 - the corridor has a lower side
        age_ns = max(0, now_ns - max(b.limits[_LOWER].at_ns for b in self._with(_LOWER)))
        bound_ns = ONE_WAY_BOUND_NS + scale_ppb(age_ns, self._skew_bound_ppb)
        return fastest_ns + ONE_WAY_DELAY_NS, bound_ns

    def _with(self, sign: int) -> list[_Bin]:
        return [b for b in self._bins if sign in b.limits]

    def _fresh_ns(self, sign: int, now_ns: int, doubt_ppb: int) -> int | None:
        """One side of the corridor at ``now_ns`` by the newest bins that have that side."""
        slope_ppb = self._skew_ppb + sign * doubt_ppb
        carried = [
            b.limits[sign].offset_ns + scale_ppb(now_ns - b.limits[sign].at_ns, slope_ppb)
            for b in self._with(sign)[-FRESH_BINS:]
        ]
        return _tightest(carried, sign)

    def _take(self, limit: _Limit, sign: int, at_ns: int) -> None:
        """Use one constraint, unless it contradicts what is known and stands alone in that."""
        crossing_ns = self._crossing_ns(limit, sign)
        if crossing_ns > STEP_NS:
            self._against[sign] += 1
            self._doubt_ns = max(self._doubt_ns, crossing_ns)
            if self._against[sign] < STEPS_AFTER:
                return
            self.reset()
        else:
            del self._against[sign]
            if not self._against:
                self._doubt_ns = 0
            while crossing_ns > STAMP_NOISE_NS:
                self._forget_older_half()
                crossing_ns = self._crossing_ns(limit, sign)
        if not self._bins or self._bins[-1].number < at_ns // BIN_NS:
            self._bins.append(_Bin(at_ns // BIN_NS))
            self._fold(at_ns)
        newest = self._bins[-1].limits
        new_ns = self._at_reference_ns(limit, sign)
        if sign not in newest or sign * (self._at_reference_ns(newest[sign], sign) - new_ns) >= 0:
            newest[sign] = limit
        known = self._corridor.get(sign)
        self._corridor[sign] = new_ns if known is None else sign * min(sign * known, sign * new_ns)

    def _forget_older_half(self) -> None:
        for _ in range((len(self._bins) + 1) // 2):
            self._bins.popleft()
        self._fold(self._reference_ns)

    def _fold(self, at_ns: int) -> None:
        """Learn the skew from all bins and fold them into the corridor at ``at_ns``."""
        self._learn_skew()
        self._reference_ns = at_ns
        self._corridor = {}
        for sign in (_UPPER, _LOWER):
            folded = [self._at_reference_ns(b.limits[sign], sign) for b in self._with(sign)]
            tightest_ns = _tightest(folded, sign)
            if tightest_ns is not None:
                self._corridor[sign] = tightest_ns

    def _slope_ppb(self, sign: int) -> int:
        return self._skew_ppb + sign * self._skew_bound_ppb

    def _at_reference_ns(self, limit: _Limit, sign: int) -> int:
        """Where the line of ``limit`` passes the reference instant.

        What a limit says later is carried on by the skew and loosened by the skew's doubt: a
        straight line, the same slope for all limits of a side. So one comparison, at any one
        instant, tells which confines more at all later ones.
        """
        return limit.offset_ns + scale_ppb(self._reference_ns - limit.at_ns, self._slope_ppb(sign))

    def _crossing_ns(self, limit: _Limit, sign: int) -> int:
        """By how much a new limit lies beyond the corridor's other side; <= 0 where it agrees."""
        other_ns = self._corridor.get(-sign)
        if other_ns is None:
            return 0
        since_ns = limit.at_ns - self._reference_ns
        there_ns = other_ns + scale_ppb(since_ns, self._slope_ppb(-sign))
        return sign * (there_ns - limit.offset_ns)

    def _learn_skew(self) -> None:
        """Confine the slope of the line between all upper and all lower limits.

        Any pair of an upper and a lower limit at two times confines it from one side: for at
        most ``MAX_BINS``² / 2 pairs, once a bin. No slope left means that the rate has changed:
        the older half is forgotten.
        """
        while True:
            most_ppb, least_ppb = self._slopes_ppb()
            if most_ppb >= least_ppb - WANDER_PPB or len(self._bins) < 2:
                break
            for _ in range(len(self._bins) // 2):
                self._bins.popleft()
        self._skew_ppb = (most_ppb + least_ppb) // 2
        self._skew_bound_ppb = abs(most_ppb - least_ppb) // 2 + WANDER_PPB

    def _slopes_ppb(self) -> tuple[int, int]:
        """The largest and the smallest slope that the bins leave."""
        most_ppb, least_ppb = PRIOR_SKEW_PPB, -PRIOR_SKEW_PPB
        uppers = [b.limits[_UPPER] for b in self._with(_UPPER)]
        lowers = [b.limits[_LOWER] for b in self._with(_LOWER)]
        for upper in uppers:
            for lower in lowers:
                apart_ns = upper.at_ns - lower.at_ns
                if abs(apart_ns) < BIN_NS:
                    continue
                slope_ppb = (upper.offset_ns - lower.offset_ns) * PPB // apart_ns
                if apart_ns > 0:
                    most_ppb = min(most_ppb, slope_ppb)
                else:
                    least_ppb = max(least_ppb, slope_ppb)
        return most_ppb, least_ppb


def _tightest(values_ns: list[int], sign: int) -> int | None:
    """The value that confines most: the least of upper sides, the greatest of lower ones."""
    return min(values_ns, key=lambda value_ns: sign * value_ns, default=None)
