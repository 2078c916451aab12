"""The candidates: ways to estimate a clock from the same events, each as short as it can be.

``read`` gives the offset at that instant, and a bound where the way states one.
"""

from collections import deque
from typing import Protocol

from unisono.core.estimator import ClockEstimator
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import NS_PER_S, OwnNs

Reading = tuple[int, int | None] | None
# What the windowed ways look back: long enough for lucky messages, short enough for 20 ppm of skew.
WINDOW_NS = 10 * NS_PER_S


class Candidate(Protocol):
    """What the benchmark asks of a way."""

    name: str

    def reset(self) -> None:
        """Another master: forget everything."""

    def add_probe(self, sample: ProbeSample) -> None:
        """Use an exchange."""

    def add_beacon(self, sample: BeaconSample) -> None:
        """Use a one-way beacon."""

    def read(self, now_ns: int) -> Reading:
        """Offset and bound at ``now_ns``; None while unknown."""


def _offset_ns(sample: ProbeSample) -> int:
    there_ns = sample.master_received_ns - sample.own_sent_ns
    return (there_ns + sample.master_sent_ns - sample.own_received_ns) // 2


class Ours:
    """The product's."""

    name = "unisono"

    def __init__(self) -> None:
        self._estimator = ClockEstimator()
        self.reset = self._estimator.reset
        self.add_probe = self._estimator.add_probe
        self.add_beacon = self._estimator.add_beacon

    def read(self, now_ns: int) -> Reading:
        """The clock map's."""
        found = self._estimator.clock_map(OwnNs(now_ns))
        return None if found is None else (found.offset_ns, found.bound_ns)


class _Probes:
    """Those that keep the last probes and nothing else: (received, round trip, offset)."""

    def __init__(self, at_most: int) -> None:
        self._kept: deque[tuple[int, int, int]] = deque(maxlen=at_most)

    def reset(self) -> None:
        """Forget them."""
        self._kept.clear()

    def add_beacon(self, sample: BeaconSample) -> None:
        """Not used."""

    def add_probe(self, sample: ProbeSample) -> None:
        """Keep it."""
        self._kept.append((sample.own_received_ns, sample.rtt_ns, _offset_ns(sample)))


class MinFilter(_Probes):
    """The offset of the exchange with the lowest round trip of the window."""

    name = "min-rtt"

    def __init__(self) -> None:
        super().__init__(400)

    def read(self, now_ns: int) -> Reading:
        """Half the round trip bounds it, but for skew."""
        while len(self._kept) > 1 and now_ns - self._kept[0][0] > WINDOW_NS:
            self._kept.popleft()
        if not self._kept:
            return None
        _, rtt_ns, offset_ns = min(self._kept, key=lambda kept: kept[1])
        return offset_ns, rtt_ns // 2


class Median(_Probes):
    """Snapcast's: the median of the last 200."""

    name = "median-200"

    def __init__(self) -> None:
        super().__init__(200)

    def read(self, now_ns: int) -> Reading:  # noqa: ARG002 - an interface
        """States no bound."""
        offsets = sorted(kept[2] for kept in self._kept)
        return (offsets[len(offsets) // 2], None) if offsets else None


class LowestTenth(_Probes):
    """The mean offset of that tenth of the last 200 that had the lowest round trips."""

    name = "lowest-tenth"

    def __init__(self) -> None:
        super().__init__(200)

    def read(self, now_ns: int) -> Reading:  # noqa: ARG002 - an interface
        """States no bound."""
        best = sorted(self._kept, key=lambda kept: kept[1])[: max(1, len(self._kept) // 10)]
        return (sum(kept[2] for kept in best) // len(best), None) if best else None


class NtpFilter(_Probes):
    """NTP's clock filter (RFC 5905, 10): eight stages, delays aged by 15 ppm, the least wins.

    The bound is the root distance of one hop: half the delay and the dispersion. A sample older
    than the one in use is never taken, as in the RFC; the clock is not disciplined between.
    """

    name = "ntp-filter"
    phi_ppb = 15_000

    def __init__(self) -> None:
        super().__init__(8)
        self._used = (0, 0, 0)

    def reset(self) -> None:
        """Forget them."""
        super().reset()
        self._used = (0, 0, 0)

    def add_probe(self, sample: ProbeSample) -> None:
        """Choose again."""
        super().add_probe(sample)
        now_ns = sample.own_received_ns
        best = min(self._kept, key=lambda kept: kept[1] / 2 + self._aged_ns(kept, now_ns))
        if best[0] > self._used[0]:
            self._used = best

    def _aged_ns(self, kept: tuple[int, int, int], now_ns: int) -> int:
        return (now_ns - kept[0]) * self.phi_ppb // NS_PER_S

    def read(self, now_ns: int) -> Reading:
        """The sample in use."""
        if not self._used[0]:
            return None
        return self._used[2], self._used[1] // 2 + self._aged_ns(self._used, now_ns)


class PlainEnvelope:
    """Each direction's least delay over the window, and the middle; no skew."""

    name = "envelope"

    def __init__(self) -> None:
        self._upper: deque[tuple[int, int]] = deque()
        self._lower: deque[tuple[int, int]] = deque()

    def reset(self) -> None:
        """Forget everything."""
        self._upper.clear()
        self._lower.clear()

    def add_probe(self, sample: ProbeSample) -> None:
        """One limit of each side."""
        upper_ns = sample.master_received_ns - sample.own_sent_ns
        self._keep(self._upper, sample.own_received_ns, upper_ns)
        lower_ns = sample.master_sent_ns - sample.own_received_ns
        self._keep(self._lower, sample.own_received_ns, -lower_ns)

    def add_beacon(self, sample: BeaconSample) -> None:
        """A lower limit."""
        lower_ns = sample.master_sent_ns - sample.own_received_ns
        self._keep(self._lower, sample.own_received_ns, -lower_ns)

    @staticmethod
    def _keep(side: deque[tuple[int, int]], at_ns: int, value_ns: int) -> None:
        """A window's minimum as a rising queue."""
        while side and side[-1][1] >= value_ns:
            side.pop()
        side.append((at_ns, value_ns))
        while at_ns - side[0][0] > WINDOW_NS:
            side.popleft()

    def read(self, now_ns: int) -> Reading:  # noqa: ARG002 - an interface
        """Half the corridor bounds it, but for skew."""
        if not self._upper:
            return None
        upper_ns, lower_ns = self._upper[0][1], -self._lower[0][1]
        return (upper_ns + lower_ns) // 2, abs(upper_ns - lower_ns) // 2


CANDIDATES: tuple[type[Candidate], ...] = (
    *(Ours, PlainEnvelope, MinFilter, LowestTenth, NtpFilter, Median),
)
