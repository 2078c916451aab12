"""Traces: what one follower hears of its master, and the truth that it cannot see.

The follower's own clock is taken as true time, so the master's is all that moves: its offset is
a chain of straight lines. That loses nothing, because only the difference of the two clocks can be
seen. A trace depends on its row and its seed alone: every candidate gets the very same one.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import NS_PER_S, MasterNs, OwnNs, scale_ppb

# Devices have been up for a while, and the two clocks began at different times.
START_NS = 1_000 * NS_PER_S
OFFSET_NS = 123_456 * NS_PER_S
BEACON_NS = NS_PER_S // 20
# As services/beacon/pace.py does: fast at joining, then slower, spread by half.
JOINING_S = 2.5
JOINING_WAIT_S = 0.05
SPREAD = 0.5
# Between receipt and answer in the master's process.
TURNAROUND_NS = 50_000
# The clock is read five times a second, first a little after the start.
READ_NS = NS_PER_S // 5


@dataclass(frozen=True, slots=True)
class Reset:
    """A new master, and the follower knows it."""


Event = ProbeSample | BeaconSample | Reset


@dataclass(frozen=True, slots=True)
class Path:
    """Delays of one message: the least of its direction, an exponential part, spikes; and loss.

    In a burst the exponential part has another mean; bursts come at random, ``burst_share`` of the
    time, and last ``burst_s`` on average.
    """

    there_ms: float
    back_ms: float
    mean_ms: float
    loss: float = 0.0
    spike_share: float = 0.0
    spike_ms: float = 0.0
    burst_share: float = 0.0
    burst_s: float = 0.0
    burst_mean_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of trace. Times are seconds from the start.

    ``slews`` are (from, to, ppm) on top of ``skew_ppm``; ``steps`` are (at, seconds, whether the
    follower is told, as of a new master); ``warm_ppm`` makes the rate wander as temperature does.
    The time to converge counts from ``upset_s`` until the error stays below ``limit_ms``.
    ``blind_s`` after each step nobody can know of, the bounds are not judged.
    """

    name: str
    seconds: int
    paths: tuple[tuple[float, Path], ...]
    limit_ms: float
    probe_wait_s: float = 1.0
    skew_ppm: float = 20.0
    slews: tuple[tuple[float, float, float], ...] = ()
    steps: tuple[tuple[float, float, bool], ...] = ()
    warm_ppm: float = 0.0
    upset_s: float = 0.0
    probes: bool = True
    blind_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Events by the instant at which the follower has them, and the truth."""

    row: Row
    seed: int
    events: tuple[tuple[int, Event], ...]
    truth: "Truth"

    def reads_ns(self) -> Iterator[int]:
        """The instants at which the clock is read."""
        return iter(range(START_NS + READ_NS, START_NS + self.row.seconds * NS_PER_S, READ_NS))


@dataclass(slots=True)
class Truth:
    """The master's clock minus the follower's, exactly: a chain of lines."""

    from_ns: list[int] = field(default_factory=list)
    offset_ns: list[int] = field(default_factory=list)
    rate_ppb: list[int] = field(default_factory=list)

    def at(self, own_ns: int) -> int:
        """The offset at ``own_ns``."""
        i = max(0, bisect_right(self.from_ns, own_ns) - 1)
        return self.offset_ns[i] + scale_ppb(own_ns - self.from_ns[i], self.rate_ppb[i])

    def master(self, own_ns: int) -> MasterNs:
        """The master's clock at ``own_ns``."""
        return MasterNs(own_ns + self.at(own_ns))


def make(row: Row, seed: int) -> Trace:
    """The trace of that row and seed."""
    rng = random.Random(f"{row.name} {seed}")
    truth = _truth(row, rng)
    lan = _Lan(row, rng)
    found: list[tuple[int, Event]] = list(_beacons(row, rng, truth, lan))
    if row.probes:
        found += _probes(row, rng, truth, lan)
    found += [(_ns(at_s), Reset()) for at_s, _, told in row.steps if told]
    found.sort(key=lambda pair: pair[0])
    return Trace(row, seed, tuple(found), truth)


def _ns(at_s: float) -> int:
    return START_NS + round(at_s * NS_PER_S)


def _truth(row: Row, rng: random.Random) -> Truth:
    """Lines of at most ten seconds where the rate wanders, else from one event to the next."""
    edges = {0.0, *(s[0] for s in row.steps), *(s for slew in row.slews for s in slew[:2])}
    if row.warm_ppm:
        edges.update(float(s) for s in range(0, row.seconds, 10))
    truth, wander_ppm, offset_ns, last_ns, rate_ppb = Truth(), 0.0, OFFSET_NS, START_NS, 0
    for at_s in sorted(edges):
        offset_ns += scale_ppb(_ns(at_s) - last_ns, rate_ppb)
        offset_ns += sum(round(by_s * NS_PER_S) for when_s, by_s, _ in row.steps if when_s == at_s)
        # Towards a temperature of its own, which itself changes: some minutes of time constant.
        wander_ppm += (rng.uniform(-2, 2) * row.warm_ppm - wander_ppm) / 30
        ppm = row.skew_ppm + wander_ppm
        ppm += sum(by for from_s, to_s, by in row.slews if from_s <= at_s < to_s)
        last_ns, rate_ppb = _ns(at_s), round(ppm * 1000)
        truth.from_ns.append(last_ns)
        truth.offset_ns.append(offset_ns)
        truth.rate_ppb.append(rate_ppb)
    return truth


class _Lan:
    """Draws delays; knows which path and whether a burst is on."""

    def __init__(self, row: Row, rng: random.Random) -> None:
        self._row, self._rng = row, rng
        self._bursts: list[tuple[int, int]] = []
        path = row.paths[0][1]
        at_s = 0.0
        while path.burst_share and at_s < row.seconds:
            at_s += rng.expovariate(path.burst_share / path.burst_s)
            lasts_s = rng.expovariate(1 / path.burst_s)
            self._bursts.append((_ns(at_s), _ns(at_s + lasts_s)))
            at_s += lasts_s

    def delay_ns(self, at_ns: int, *, back: bool) -> int | None:
        """The delay of one message sent at ``at_ns``; None when it is lost."""
        path = [path for from_s, path in self._row.paths if _ns(from_s) <= at_ns or not from_s][-1]
        if self._rng.random() < path.loss:
            return None
        i = bisect_right(self._bursts, (at_ns, 2 * at_ns)) - 1
        bursting = i >= 0 and at_ns < self._bursts[i][1]
        mean_ms = path.burst_mean_ms if bursting else path.mean_ms
        delay_ms = (path.back_ms if back else path.there_ms) + self._rng.expovariate(1 / mean_ms)
        if self._rng.random() < path.spike_share:
            delay_ms += self._rng.uniform(0, path.spike_ms)
        return round(delay_ms * 1_000_000)


def _beacons(
    row: Row, rng: random.Random, truth: Truth, lan: _Lan
) -> Iterator[tuple[int, BeaconSample]]:
    """Those that count: one that a newer one has overtaken is dropped, as the product does."""
    came = []
    for beat in range(row.seconds * 20):
        sent_ns = START_NS + beat * BEACON_NS + rng.randrange(1_000_000)
        delay_ns = lan.delay_ns(sent_ns, back=True)
        if delay_ns is not None:
            came.append((sent_ns + delay_ns, sent_ns))
    newest_ns = 0
    for at_ns, sent_ns in sorted(came):
        if sent_ns > newest_ns:
            newest_ns = sent_ns
            yield at_ns, BeaconSample(truth.master(sent_ns), OwnNs(at_ns))


def _probes(
    row: Row, rng: random.Random, truth: Truth, lan: _Lan
) -> Iterator[tuple[int, ProbeSample]]:
    joined = [0.0, *(at_s for at_s, _, told in row.steps if told)]
    at_s = 0.02
    while at_s < row.seconds:
        sent_ns = _ns(at_s)
        there_ns = lan.delay_ns(sent_ns, back=False)
        if there_ns is not None:
            away_ns = sent_ns + there_ns + TURNAROUND_NS
            back_ns = lan.delay_ns(away_ns, back=True)
            if back_ns is not None:
                yield (
                    away_ns + back_ns,
                    ProbeSample(
                        OwnNs(sent_ns),
                        truth.master(sent_ns + there_ns),
                        truth.master(away_ns),
                        OwnNs(away_ns + back_ns),
                    ),
                )
        joining = any(0 <= at_s - since_s < JOINING_S for since_s in joined)
        wait_s = row.probe_wait_s * (1 - SPREAD / 2 + SPREAD * rng.random())
        at_s += JOINING_WAIT_S if joining else wait_s
