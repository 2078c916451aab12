"""Clock estimator: from probes and beacons to a clock map with an honest bound.

Every message confines the offset (master minus own) from one side, because no delay is
negative: what the master received at ``t2`` of a probe sent at ``t1`` says
``offset <= t2 - t1``; what it sent at ``t3`` and we received at ``t4`` says
``offset >= t3 - t4``, and so does each beacon. The estimate is the middle of the tightest
corridor, and half the corridor's width bounds its error whatever the asymmetry of the path.
Queueing only ever loosens a constraint, so slow messages need no filter: they do not count.

Constraints age. With a skew known to within ``u``, one that is ``a`` old is loosened by
``u * a``. The skew comes from the corridor as well: a straight line must pass between all
upper and all lower constraints (Moon, Skelly and Towsley, "Estimation and removal of clock
skew from network delay measurements", INFOCOM 1999, with both directions at once), which
confines its slope to an interval; its middle is the estimate and its half width is ``u``.

What none of this can see is an asymmetry of the *least* delays of the two directions that
lasts: half of it stays in the estimate, inside the bound.
"""

from collections import deque
from dataclasses import dataclass

from unisono.core.clockmap import ClockMap
from unisono.core.units import NS_PER_MS, NS_PER_S, PPB, MasterNs, OwnNs, scale_ppb

# One constraint of each side is kept per bin: the tightest. 64 bins of 2 s are long enough to
# know the skew to 1.5 ppm over a corridor of 0.2 ms, and short enough to follow temperature.
BIN_NS = 2 * NS_PER_S
MAX_BINS = 64
# A crystal is within 100 ppm, and the kernel may slew the clock at 500 ppm at most while it is
# being disciplined; before anything is measured, this much must be allowed for.
PRIOR_SKEW_PPB = 300_000
# What the skew may wander within the window; no measurement makes us surer than this.
WANDER_PPB = 300
# Constraints that contradict each other by more than this are not noise of the stamps.
CONTRADICTION_NS = 100_000
# That many contradictions in a row are a step of a clock, fewer are a broken stamp.
STEPS_AFTER = 3
# One-way delay assumed when only beacons come: a LAN's typical delay, and a bound to match.
ONE_WAY_DELAY_NS = 500_000
ONE_WAY_BOUND_NS = 5 * NS_PER_MS
# Reading two clocks and crossing the interpreter is never more exact than this.
STAMP_FLOOR_NS = 5_000


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


@dataclass(frozen=True, slots=True)
class _Bin:
    """The tightest limits seen in one stretch of time."""

    number: int
    upper: _Limit | None = None
    lower: _Limit | None = None
    rtt_ns: int | None = None


class ClockEstimator:
    """Estimates the master's clock from this device's own; see the head of this module."""

    def __init__(self) -> None:
        self._bins: deque[_Bin] = deque(maxlen=MAX_BINS)
        self._skew_ppb = 0
        self._skew_bound_ppb = PRIOR_SKEW_PPB
        self._contradictions = 0
        # The corridor's two sides at one reference instant; carried from there to any other.
        self._reference_ns = 0
        self._upper_ns: int | None = None
        self._lower_ns: int | None = None

    def reset(self) -> None:
        """Forget everything: another master, another clock."""
        self._bins.clear()
        self._skew_ppb = 0
        self._skew_bound_ppb = PRIOR_SKEW_PPB
        self._contradictions = 0
        self._upper_ns = self._lower_ns = None

    @property
    def min_rtt_ns(self) -> int | None:
        """Lowest round trip of the window; None before the first probe."""
        return min((b.rtt_ns for b in self._bins if b.rtt_ns is not None), default=None)

    def add_probe(self, sample: ProbeSample) -> None:
        """Use a two-way exchange: it confines the offset from both sides."""
        if sample.rtt_ns < 0 or sample.own_received_ns < sample.own_sent_ns:
            return  # stamps that no path can produce; a step in the middle of the exchange
        upper = _Limit(sample.own_sent_ns, sample.master_received_ns - sample.own_sent_ns)
        lower = _Limit(sample.own_received_ns, sample.master_sent_ns - sample.own_received_ns)
        self._add(sample.own_received_ns, upper, lower, sample.rtt_ns)

    def add_beacon(self, sample: BeaconSample) -> None:
        """Use a one-way beacon: it confines the offset from below."""
        offset_ns = sample.master_sent_ns - sample.own_received_ns
        self._add(sample.own_received_ns, None, _Limit(sample.own_received_ns, offset_ns), None)

    def clock_map(self, now_ns: OwnNs) -> ClockMap | None:
        """The map as known at ``now_ns``; None while nothing came from the master.

        The bound holds as long as the skew stays within ``skew_bound_ppb`` of the estimate.
        """
        if self._lower_ns is None:
            return None
        since_ns = now_ns - self._reference_ns
        lower_ns = self._lower_ns + scale_ppb(since_ns, self._skew_ppb - self._skew_bound_ppb)
        if self._upper_ns is None:
            offset_ns, bound_ns = lower_ns + ONE_WAY_DELAY_NS, ONE_WAY_BOUND_NS
        else:
            upper_ns = self._upper_ns + scale_ppb(since_ns, self._skew_ppb + self._skew_bound_ppb)
            offset_ns = (upper_ns + lower_ns) // 2
            bound_ns = max(0, upper_ns - lower_ns) // 2 + STAMP_FLOOR_NS
        return ClockMap(now_ns, offset_ns, self._skew_ppb, bound_ns, self._skew_bound_ppb)

    def _add(
        self, at_ns: int, upper: _Limit | None, lower: _Limit | None, rtt_ns: int | None
    ) -> None:
        if self._contradicts(upper, lower):
            self._contradictions += 1
            if self._contradictions < STEPS_AFTER:
                return
            self.reset()
        self._contradictions = 0
        if not self._bins or self._bins[-1].number < at_ns // BIN_NS:
            self._open_bin(at_ns)
        newest = self._bins[-1]
        self._bins[-1] = _Bin(
            newest.number,
            upper=self._tighter(newest.upper, upper, sign=1),
            lower=self._tighter(newest.lower, lower, sign=-1),
            rtt_ns=min((r for r in (newest.rtt_ns, rtt_ns) if r is not None), default=None),
        )
        if upper is not None:
            new_ns = self._at_reference_ns(upper, sign=1)
            self._upper_ns = new_ns if self._upper_ns is None else min(self._upper_ns, new_ns)
        if lower is not None:
            new_ns = self._at_reference_ns(lower, sign=-1)
            self._lower_ns = new_ns if self._lower_ns is None else max(self._lower_ns, new_ns)

    def _open_bin(self, at_ns: int) -> None:
        """Start the next bin: learn from the finished ones, and fold them into the corridor."""
        self._learn_skew()
        self._bins.append(_Bin(at_ns // BIN_NS))
        self._reference_ns = at_ns
        uppers = [self._at_reference_ns(b.upper, sign=1) for b in self._bins if b.upper]
        lowers = [self._at_reference_ns(b.lower, sign=-1) for b in self._bins if b.lower]
        self._upper_ns = min(uppers, default=None)
        self._lower_ns = max(lowers, default=None)

    def _tighter(self, old: _Limit | None, new: _Limit | None, *, sign: int) -> _Limit | None:
        """The limit that confines more; ``sign`` is 1 for upper ones, -1 for lower ones."""
        if old is None or new is None:
            return new or old
        gain_ns = self._at_reference_ns(old, sign=sign) - self._at_reference_ns(new, sign=sign)
        return new if sign * gain_ns >= 0 else old

    def _at_reference_ns(self, limit: _Limit, *, sign: int) -> int:
        """Where the line of ``limit`` passes the reference instant.

        What a limit says later is carried on by the skew and loosened by the skew's doubt: a
        straight line, the same slope for all limits of a side. So one comparison, at any one
        instant, tells which confines more at all later ones.
        """
        slope_ppb = self._skew_ppb + sign * self._skew_bound_ppb
        return limit.offset_ns + scale_ppb(self._reference_ns - limit.at_ns, slope_ppb)

    def _contradicts(self, upper: _Limit | None, lower: _Limit | None) -> bool:
        """Whether a new constraint cannot be true together with the corridor so far."""
        if upper is not None and self._lower_ns is not None:
            least_ns = self._lower_ns - CONTRADICTION_NS
            if self._at_reference_ns(upper, sign=-1) < least_ns:
                return True
        if lower is not None and self._upper_ns is not None:
            most_ns = self._upper_ns + CONTRADICTION_NS
            return self._at_reference_ns(lower, sign=1) > most_ns
        return False

    def _learn_skew(self) -> None:
        """Confine the slope of the line between all upper and all lower limits.

        Any pair of an upper and a lower limit at two times confines it from one side. Called
        once a bin, for at most ``MAX_BINS``² / 2 pairs.
        """
        most_ppb, least_ppb = PRIOR_SKEW_PPB, -PRIOR_SKEW_PPB
        uppers = [b.upper for b in self._bins if b.upper]
        lowers = [b.lower for b in self._bins if b.lower]
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
        # Stamps of several CPUs and a wandering crystal may cross by a little: stay in between.
        self._skew_ppb = (most_ppb + least_ppb) // 2
        self._skew_bound_ppb = max(0, most_ppb - least_ppb) // 2 + WANDER_PPB
