"""The values of the metrics: pure bookkeeping, no sockets, no clock, no Prometheus.

Other processes report counters *since their own start*; `Ledger.absorb` turns those into
counters that only ever grow, whatever restarts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unisono.core.grown import Grown
from unisono.telemetry.table import METRICS, Kind, Metric

Labels = tuple[str, ...]

# A label value comes from another process: whatever it says, the number of series stays small.
MAX_SERIES = 64
OVERFLOW = "other"


@dataclass(slots=True)
class Histogram:
    """Counts per bucket (the last one is unbounded), and the sum of what was observed."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``; a bound belongs to the bucket below it, as ``le`` says."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class _Series:
    values: dict[Labels, float] = field(default_factory=dict)
    reported: dict[Labels, Grown] = field(default_factory=dict)


class Ledger:
    """Every metric's series. Methods raise KeyError for a metric that is not in the table."""

    def __init__(self, metrics: Iterable[Metric] = METRICS) -> None:
        self.metrics = tuple(metrics)
        self._series = {m.name: _Series() for m in self.metrics if m.kind is not Kind.HISTOGRAM}
        self._histograms = {
            m.name: Histogram(m.buckets, [0] * (len(m.buckets) + 1))
            for m in self.metrics
            if m.kind is Kind.HISTOGRAM
        }
        for metric in self.metrics:
            if metric.kind is Kind.HISTOGRAM:
                continue
            zero = metric.known
            if metric.kind is Kind.COUNTER and not metric.labels:
                zero = ((),)
            self._series[metric.name].values.update(dict.fromkeys(zero, 0.0))

    def values(self, metric: Metric) -> Mapping[Labels, float]:
        """The series of a counter or gauge: label values -> value."""
        return self._series[metric.name].values

    def histogram(self, metric: Metric) -> Histogram:
        """The state of a histogram."""
        return self._histograms[metric.name]

    def observe(self, metric: Metric, value: float) -> None:
        """Count ``value`` in a histogram."""
        self._histograms[metric.name].observe(value)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Let a counter grow by ``amount``, which must not be negative."""
        if amount < 0:
            raise ValueError(f"{metric.name}: a counter cannot grow by {amount}")
        values = self._series[metric.name].values
        key = self._key(metric, labels)
        values[key] = values.get(key, 0.0) + amount

    def absorb(self, metric: Metric, reported: float, *labels: str) -> None:
        """Take over what another process has counted since its start (`Grown`)."""
        growth = self._series[metric.name].reported.setdefault(labels, Grown()).see(reported)
        if growth:
            self.add(metric, growth, *labels)

    def absorb_all(self, metric: Metric, reported: Mapping[Labels, float]) -> None:
        """`absorb` a whole family; labels that the report lacks stand at zero over there."""
        known = self._series[metric.name].reported
        for gone in known.keys() - reported.keys():
            del known[gone]
        for labels, count in reported.items():
            self.absorb(metric, count, *labels)

    def set(self, metric: Metric, value: float | None, *labels: str) -> None:
        """Set a gauge; None removes the series: there is no reading."""
        values = self._series[metric.name].values
        if value is None:
            values.pop(labels, None)
        else:
            values[self._key(metric, labels)] = value

    def show(self, metric: Metric, state: str | None) -> None:
        """Set a gauge of one series per state: 1 for ``state`` (None: not known), 0 else."""
        values = self._series[metric.name].values
        for labels in values:
            values[labels] = 0.0
        if state is not None:
            values[self._key(metric, (state,))] = 1.0

    def _key(self, metric: Metric, labels: Labels) -> Labels:
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
        values = self._series[metric.name].values
        if labels in values or len(values) < MAX_SERIES:
            return labels
        return (OVERFLOW,) * len(labels)
