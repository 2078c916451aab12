"""The ledger as Prometheus families: the only place that knows the client library's types."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from unisono.telemetry.ledger import Ledger
from unisono.telemetry.table import Kind, Metric


class LedgerCollector(Collector):
    """Reads the ledger at each scrape; nothing is kept twice.

    ``target`` are constant labels put before each series' own: which device, which site.
    """

    def __init__(self, ledger: Ledger, target: Mapping[str, str]) -> None:
        self._ledger = ledger
        self._names = tuple(target)
        self._values = tuple(target.values())

    def collect(self) -> Iterator[Family]:
        """Every metric of the table, in its order."""
        for metric in self._ledger.metrics:
            yield self._histogram(metric) if metric.kind is Kind.HISTOGRAM else self._plain(metric)

    def _plain(self, metric: Metric) -> Family:
        names = (*self._names, *metric.labels)
        family: CounterMetricFamily | GaugeMetricFamily
        if metric.kind is Kind.COUNTER:
            family = CounterMetricFamily(metric.name, metric.meaning, labels=names)
        else:
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=names)
        for labels, value in self._ledger.values(metric).items():
            family.add_metric((*self._values, *labels), value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=self._names)
        state = self._ledger.histogram(metric)
        buckets: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*map(repr, state.bounds), "+Inf"), state.counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric(self._values, buckets, state.total)
        return family
