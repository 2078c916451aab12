"""The drift of one device over a run of any length, in bounded memory. Pure.

Mean, maximum and the share within 50 ms are exact. Percentiles come from bins of |drift|: 1 us
wide up to 65 ms, and above that 256 bins for each doubling, so within 0.2 %.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

from unisono.core.summary import EMPTY, IN_UNISON_MS, DriftSummary
from unisono.core.units import NS_PER_MS, NS_PER_US, ns_to_ms

_EXACT_BITS = 16  # bins are 1 us wide below 2**16 us
_COARSE_BITS = 9  # above, a bin keeps the leading 9 bits, the first of which is always 1
_MAX_US = 2**40  # twelve days; what is further off counts as this
_IN_UNISON_NS = round(IN_UNISON_MS * NS_PER_MS)


@dataclass(slots=True)
class Drifts:
    """All samples so far, folded: at most 72 000 bins, in practice some hundreds."""

    count: int = 0
    within: int = 0  # samples of at most 50 ms
    _sum_ns: int = 0
    _sum_abs_ns: int = 0
    _max_ns: int = 0
    _bins: Counter[int] = field(default_factory=Counter)  # by the bin's lower edge, us

    def add(self, drift_ns: int) -> None:
        """Take one sample; signed, > 0 is ahead."""
        size_ns = abs(drift_ns)
        self.count += 1
        self.within += size_ns <= _IN_UNISON_NS
        self._sum_ns += drift_ns
        self._sum_abs_ns += size_ns
        self._max_ns = max(self._max_ns, size_ns)
        size_us = min((size_ns + NS_PER_US // 2) // NS_PER_US, _MAX_US)
        shift = _shift(size_us)
        self._bins[size_us >> shift << shift] += 1

    def summary(self) -> DriftSummary:
        """The figures; ``EMPTY`` before the first sample. Percentiles are by nearest rank."""
        if not self.count:
            return EMPTY
        p50, p95, p99 = self._percentiles(50, 95, 99)
        return DriftSummary(
            count=self.count,
            mean=self._sum_ns / self.count / NS_PER_MS,
            mean_abs=self._sum_abs_ns / self.count / NS_PER_MS,
            p50=p50,
            p95=p95,
            p99=p99,
            max=ns_to_ms(self._max_ns),
            within_50ms_ratio=self.within / self.count,
        )

    def _percentiles(self, *percents: int) -> list[float]:
        """Percentiles in ms, for ascending ``percents``, in one pass over the bins."""
        found: list[float] = []
        ranks = [math.ceil(percent * self.count / 100) for percent in percents]
        passed = 0
        for edge_us in sorted(self._bins):
            passed += self._bins[edge_us]
            middle_us = edge_us + (1 << _shift(edge_us) >> 1)
            while len(found) < len(ranks) and passed >= ranks[len(found)]:
                found.append(min(middle_us / 1000, ns_to_ms(self._max_ns)))
        return found


def _shift(size_us: int) -> int:
    """How many of the low bits of a size its bin forgets."""
    bits = size_us.bit_length()
    return 0 if bits <= _EXACT_BITS else bits - _COARSE_BITS
