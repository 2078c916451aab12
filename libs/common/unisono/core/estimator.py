"""Clock estimator: from probes and beacons to a clock map with an honest bound.

Every message confines the offset (master minus own) from one side, because no delay is
negative: what the master received at ``t2`` of a probe sent at ``t1`` says
``offset <= t2 - t1``; what it sent at ``t3`` and we received at ``t4`` says
``offset >= t3 - t4``, and so does each beacon. Queueing only ever loosens a limit, so slow
messages need no filter: they do not count. `envelope` keeps the tightest limits of ten minutes,
`edgeline` draws the likeliest line between them, which is the skew. Along it every limit is
carried to now; the estimate is the middle between the tightest of each side.

Clocks are disciplined: their rate changes when a time daemon slews them, and then old limits
contradict new ones. As delays cannot cause that, new ones win: the older half is forgotten until
the rest agrees. A contradiction too large for a slew is a step, of a suspended or another machine,
or one broken stamp: it is believed once three messages agree with it and none refutes it.

The bound reaches from the estimate to the far side of the corridor, each limit of it loosened by as
much as a slew could have done since: a change of rate too young to contradict anything is inside.
What none of this can see is an asymmetry of the *least* delays of the two directions that lasts;
half of it is in the estimate, and all of it in the bound.

How sure the bound is: the truth is inside it at least 99.9 % of the time, at any instant, with
any delays and losses, and while clocks are slewed by up to `FRESH_SLEW_PPB`. It is outside for as
long as nobody can know: from an unannounced step until the first probe that tells of it, and for
the few seconds in which a faster slew begins or ends.
"""

from unisono.core.clockmap import ClockMap
from unisono.core.edgeline import STAMP_NOISE_NS, WANDER_PPB, Line, fit
from unisono.core.envelope import (
    BIN_NS,
    LOWER,
    SIDES,
    STREAMS_OF,
    UPPER,
    Bin,
    Limit,
    Stream,
    thinned,
)
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs, scale_ppb

# The line is drawn again with every bin while there are few, then at this interval: it is most of
# what a beacon costs.
YOUNG_BINS = 16
FOLD_NS = 2 * NS_PER_S
# Limits that may bound the error: the last few seconds' are loosened by a slew as time daemons mend
# small offsets, those of some seconds before as if a kernel had slewed at full speed meanwhile.
FRESH_NS = 4 * NS_PER_S
FRESH_SLEW_PPB = 50_000
STALE_NS = 12 * NS_PER_S
SLEWING_PPB = 500_000
# After a contradiction a clock is being slewed, and that goes on or ends.
SLEWING_NS = 10 * NS_PER_S
# A slew of 500 ppm needs ten seconds for this; what contradicts by more is a step.
STEP_NS = 5 * NS_PER_MS
# So many limits that agree are a step, fewer a broken stamp: one probe and two beacons, say. What
# has not become so many after this long was nothing.
STEP_LIMITS = 4
RIVAL_NS = 5 * NS_PER_S
# One-way delay assumed when only beacons come: a LAN's typical delay, and a bound to match.
ONE_WAY_DELAY_NS = 500_000
ONE_WAY_BOUND_NS = 5 * NS_PER_MS
# The fastest of n beacons waits for a mean delay / n on average; seven times that are 99.9 %, and
# means of 20 ms have been seen.
ONE_WAY_FIRST_NS = 7 * 20 * NS_PER_MS


class ClockEstimator:
    """Estimates the master's clock from this device's own; see the head of this module."""

    def __init__(self) -> None:
        self._bins: list[Bin] = []
        self._line = Line()
        self._reference_ns = 0
        # The tightest of each side at the reference instant, carried on by the skew and loosened by
        # its doubt (nothing may lie beyond), or by what clocks wander (where the edge likely is).
        self._surely: dict[int, int] = {}
        self._likely: dict[int, int] = {}
        # Limits that speak for a step, the first of them contradicting all that is known; and
        # by how much they do.
        self._rival: list[tuple[Stream, Limit]] = []
        self._doubt_ns = 0
        self._slewed_ns: int | None = None  # when limits last contradicted each other
        self._restored: ClockMap | None = None

    def reset(self) -> None:
        """Forget everything: another master, another clock."""
        self._bins = []
        self._line = Line()
        self._surely, self._likely = {}, {}
        self._rival, self._doubt_ns = [], 0
        self._slewed_ns = self._restored = None

    def restore(self, clock_map: ClockMap) -> None:
        """Begin with a map that was known before; call it before any sample.

        Until messages give a better one, `clock_map` is this one, and its bound grows as it says;
        before the first probe it is at least what beacons alone would have.
        A message that contradicts it by more than that discards it: of a clock that was put
        forward meanwhile the first beacon does, of one that was put back the first probe.
        """
        self._restored = clock_map

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
        at_ns = sample.own_received_ns
        self._take(Limit(sample.own_sent_ns, upper_ns), Stream.REQUEST, at_ns)
        self._take(Limit(at_ns, lower_ns), Stream.REPLY, at_ns)
        if self._bins:
            self._bins[-1].add_rtt(sample.rtt_ns)

    def add_beacon(self, sample: BeaconSample) -> None:
        """Use a one-way beacon: it confines the offset from below."""
        offset_ns = sample.master_sent_ns - sample.own_received_ns
        limit = Limit(sample.own_received_ns, offset_ns)
        self._take(limit, Stream.BEACON, sample.own_received_ns)

    def clock_map(self, now_ns: OwnNs) -> ClockMap | None:
        """The map as known at ``now_ns``; None while nothing came from the master."""
        found, kept = self._found(now_ns), self._kept(now_ns)
        return found if _is_better(found, kept) else kept

    def _kept(self, now_ns: OwnNs) -> ClockMap | None:
        """What the restored map says; until a probe agrees with it, no surer than beacons are.

        No beacon contradicts a map that is too high: a master that slept meanwhile sends late ones,
        and only probes tell them from slow ones. So far the truth may be where they are.
        """
        kept = self._restored
        if kept is None:
            return None
        offset_ns = kept.to_master(now_ns) - now_ns
        bound_ns = max(kept.bound_at_ns(now_ns), self._doubt_ns)
        if UPPER not in self._likely:
            bound_ns = max(bound_ns, ONE_WAY_BOUND_NS)
            if self._bins:
                bound_ns = max(bound_ns, offset_ns - self._reach_ns(LOWER, now_ns))
        return ClockMap(now_ns, offset_ns, kept.skew_ppb, bound_ns, kept.skew_bound_ppb)

    def _found(self, now_ns: OwnNs) -> ClockMap | None:
        """What the messages say."""
        line = self._line
        if LOWER not in self._likely:
            return None
        if UPPER not in self._likely:
            offset_ns, bound_ns = self._one_way(now_ns)
        else:
            since_ns = now_ns - self._reference_ns
            edges_ns = [
                self._likely[sign] + scale_ppb(since_ns, line.slope_ppb(sign, WANDER_PPB))
                for sign in SIDES
            ]
            offset_ns = sum(edges_ns) // 2
            bound_ns = max(sign * (self._reach_ns(sign, now_ns) - offset_ns) for sign in SIDES)
        bound_ns = max(bound_ns, self._doubt_ns) + STAMP_NOISE_NS
        return ClockMap(now_ns, offset_ns, line.skew_ppb, bound_ns, line.skew_bound_ppb)

    def _one_way(self, now_ns: OwnNs) -> tuple[int, int]:
        """Offset and bound from lower limits alone: the fastest recent beacon, and a guess."""
        # No limit is an upper one. A reply is here alone when its request spoke for a step.
        fresh = [b for b in self._bins if now_ns - b.newest_ns <= FRESH_NS] or self._bins[-1:]
        lowers = [limit for one in fresh for limit in one.limits.values()]
        fastest_ns = max(limit.carried_ns(now_ns, self._line.skew_ppb) for limit in lowers)
        age_ns = max(0, now_ns - fresh[-1].newest_ns)
        beacons = sum(one.counts.get(Stream.BEACON, 0) for one in fresh)
        bound_ns = ONE_WAY_BOUND_NS + ONE_WAY_FIRST_NS // max(1, beacons)
        bound_ns += scale_ppb(age_ns, self._line.skew_bound_ppb)
        return fastest_ns + ONE_WAY_DELAY_NS, bound_ns

    def _reach_ns(self, sign: int, now_ns: int) -> int:
        """One side's edge at ``now_ns``, whatever a slew did since."""
        slewed_ns = self._slewed_ns
        slewing = slewed_ns is not None and now_ns - slewed_ns <= SLEWING_NS
        doubt_ppb = max(self._line.skew_bound_ppb, SLEWING_PPB if slewing else FRESH_SLEW_PPB)
        slope_ppb = self._line.slope_ppb(sign, doubt_ppb)
        newest_ns, reach_ns = None, 0
        limits = (
            one.limits[stream]
            for one in reversed(self._bins)
            for stream in STREAMS_OF[sign]
            if stream in one.limits
        )
        for limit in limits:
            there_ns = sign * limit.carried_ns(now_ns, slope_ppb)
            if newest_ns is None:
                newest_ns, reach_ns = limit.at_ns, there_ns
            stale_ns = newest_ns - limit.at_ns - FRESH_NS
            if stale_ns > STALE_NS:
                break
            reach_ns = min(reach_ns, there_ns + scale_ppb(max(0, stale_ns), SLEWING_PPB))
        return sign * reach_ns

    def _take(self, limit: Limit, stream: Stream, at_ns: int) -> None:
        """Use one limit, unless it contradicts what is known and stands alone in that."""
        sign = stream.sign
        self._doubt_restored(limit, sign)
        crossing_ns = self._crossing_ns(limit, sign)
        if self._rival or crossing_ns > STEP_NS:
            self._weigh_step(limit, stream, crossing_ns)
            if len(self._rival) >= STEP_LIMITS:
                believed = self._rival
                self.reset()
                for other_stream, other in believed:
                    self._put(other, other_stream, at_ns)
                return
            if crossing_ns > STEP_NS:
                return
        while crossing_ns > STAMP_NOISE_NS:
            self._slewed_ns = at_ns
            self._forget_older_half()
            crossing_ns = self._crossing_ns(limit, sign)
        self._put(limit, stream, at_ns)

    def _weigh_step(self, limit: Limit, stream: Stream, crossing_ns: int) -> None:
        """Add a limit to those that speak for a step, or drop them if it refutes them.

        One of the first one's side that contradicts nothing may just be slow: it says nothing.
        """
        sign, skew_ppb = stream.sign, self._line.skew_ppb
        refuted = any(
            sign * (other.carried_ns(limit.at_ns, skew_ppb) - limit.offset_ns) > STEP_NS
            for other_stream, other in self._rival
            if other_stream.sign != sign
        )
        if refuted or (self._rival and limit.at_ns - self._rival[0][1].at_ns > RIVAL_NS):
            self._rival, self._doubt_ns = [], 0
        if crossing_ns > STEP_NS or (self._rival and self._rival[0][0].sign != sign):
            self._rival.append((stream, limit))
            self._doubt_ns = max(self._doubt_ns, crossing_ns)

    def _put(self, limit: Limit, stream: Stream, at_ns: int) -> None:
        """Keep a limit that agrees with the others."""
        if not self._bins or self._bins[-1].number < at_ns // BIN_NS:
            young = len(self._bins) < YOUNG_BINS
            if young or at_ns - self._reference_ns >= FOLD_NS:
                self._fold(at_ns)
            self._bins.append(Bin(at_ns // BIN_NS))
        self._bins[-1].add(stream, limit, self._line.skew_ppb)
        self._tighten(self._surely, limit, stream.sign, self._line.skew_bound_ppb)
        self._tighten(self._likely, limit, stream.sign, WANDER_PPB)

    def _tighten(self, edges: dict[int, int], limit: Limit, sign: int, doubt_ppb: int) -> None:
        """Move one side's edge to ``limit`` if that is tighter."""
        slope_ppb = self._line.slope_ppb(sign, doubt_ppb)
        there_ns = limit.carried_ns(self._reference_ns, slope_ppb)
        known_ns = edges.get(sign)
        if known_ns is None or sign * (there_ns - known_ns) < 0:
            edges[sign] = there_ns

    def _forget_older_half(self) -> None:
        del self._bins[: (len(self._bins) + 1) // 2]
        self._fold(self._reference_ns)

    def _fold(self, at_ns: int) -> None:
        """Learn the line from all bins and carry their limits to ``at_ns`` along it."""
        self._bins = thinned(self._bins, self._line.skew_ppb)
        while (line := fit(self._bins, at_ns, self._line)) is None:
            del self._bins[: (len(self._bins) + 1) // 2]
        self._line = line
        self._reference_ns = at_ns
        self._surely, self._likely = {}, dict(line.edges_ns)
        for one in self._bins:
            for stream, limit in one.limits.items():
                self._tighten(self._surely, limit, stream.sign, line.skew_bound_ppb)
        now_ns = OwnNs(at_ns)
        if self._restored is not None and _is_better(self._found(now_ns), self._kept(now_ns)):
            self._restored = None

    def _crossing_ns(self, limit: Limit, sign: int) -> int:
        """By how much a new limit lies beyond the corridor's other side; <= 0 where it agrees."""
        other_ns = self._surely.get(-sign)
        if other_ns is None:
            return 0
        slope_ppb = self._line.slope_ppb(-sign, self._line.skew_bound_ppb)
        there_ns = other_ns + scale_ppb(limit.at_ns - self._reference_ns, slope_ppb)
        return sign * (there_ns - limit.offset_ns)

    def _doubt_restored(self, limit: Limit, sign: int) -> None:
        """Discard a restored map that lies beyond a new limit with all of its bound."""
        kept = self._restored
        if kept is not None:
            at_ns = OwnNs(limit.at_ns)
            beyond_ns = sign * (kept.to_master(at_ns) - at_ns - limit.offset_ns)
            if beyond_ns > kept.bound_at_ns(at_ns):
                self._restored = None


def _is_better(found: ClockMap | None, kept: ClockMap | None) -> bool:
    return kept is None or (found is not None and found.bound_ns <= kept.bound_ns)
