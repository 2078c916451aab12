"""The table of metrics and its ledger."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from unisono.telemetry import table
from unisono.telemetry.exposition import LedgerCollector
from unisono.telemetry.ledger import MAX_SERIES, OVERFLOW, Ledger
from unisono.telemetry.table import METRICS, Kind, Metric

TARGET = {"device_id": "d1", "site": "lobby"}


def scrape(ledger: Ledger) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger, TARGET))
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset((TARGET | labels).items())


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_row_follows_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"unisono(_[a-z0-9]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    bare = metric.name.removesuffix("_total")
    assert bare.endswith(f"_{metric.unit}") if metric.unit else not bare.endswith("_seconds")
    assert all(len(values) == len(metric.labels) for values in metric.known)
    assert not set(metric.labels) & set(table.TARGET_LABELS)
    assert not metric.meaning.endswith(".")


def test_names_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_promise_has_a_bucket_of_its_own() -> None:
    assert 0.05 in table.DRIFT_BUCKETS_S
    assert list(table.DRIFT_BUCKETS_S) == sorted(table.DRIFT_BUCKETS_S)


def test_known_series_stand_at_zero_from_the_start() -> None:
    found = scrape(Ledger())
    assert set(found.values()) == {0.0}
    for metric in METRICS:
        for values in metric.known:
            assert key(metric.name, **dict(zip(metric.labels, values, strict=True))) in found
        if metric.kind is Kind.COUNTER and not metric.labels:
            assert key(metric.name) in found
    assert key("unisono_drift_abs_seconds_bucket", le="0.05") in found


def test_a_gauge_without_a_reading_has_no_series() -> None:
    ledger = Ledger()
    assert key("unisono_drift_seconds") not in scrape(ledger)
    ledger.set(table.DRIFT, -0.002)
    assert scrape(ledger)[key("unisono_drift_seconds")] == -0.002
    ledger.set(table.DRIFT, None)
    assert key("unisono_drift_seconds") not in scrape(ledger)


def test_a_bound_belongs_to_its_bucket() -> None:
    ledger = Ledger()
    for value in (0.05, 0.050000001, 9.0):
        ledger.observe(table.DRIFT_ABS, value)
    found = scrape(ledger)
    assert found[key("unisono_drift_abs_seconds_bucket", le="0.02")] == 0
    assert found[key("unisono_drift_abs_seconds_bucket", le="0.05")] == 1
    assert found[key("unisono_drift_abs_seconds_bucket", le="0.1")] == 2
    assert found[key("unisono_drift_abs_seconds_bucket", le="+Inf")] == 3
    assert found[key("unisono_drift_abs_seconds_count")] == 3
    assert found[key("unisono_drift_abs_seconds_sum")] == pytest.approx(9.100000001)


def test_one_state_at_a_time() -> None:
    ledger = Ledger()
    ledger.show(table.MODE, "lan")
    ledger.show(table.MODE, "holdover")
    assert dict(ledger.values(table.MODE)) == {
        **{("stopped",): 0, ("cloud",): 0, ("lan",): 0},
        ("holdover",): 1,
    }
    ledger.show(table.MODE, None)
    assert set(ledger.values(table.MODE).values()) == {0.0}


def test_a_family_that_starts_again_grows_on() -> None:
    ledger = Ledger()
    reports: list[dict[tuple[str, ...], float]] = [
        {("old_term",): 4.0},
        {},
        {("old_term",): 4.0},
        {("old_term",): 6.0},
    ]
    for report in reports:
        ledger.absorb_all(table.REFUSED, report)
    assert ledger.values(table.REFUSED)[("old_term",)] == 10


def test_label_values_cannot_flood_the_device() -> None:
    ledger = Ledger()
    for number in range(3 * MAX_SERIES):
        ledger.absorb(table.REFUSED, 2, f"reason {number}")
    values = ledger.values(table.REFUSED)
    assert len(values) == MAX_SERIES + 1
    assert values[(OVERFLOW,)] > 2
    assert sum(values.values()) == 2 * 3 * MAX_SERIES


def test_misuse_is_refused() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="cannot grow by -1"):
        ledger.add(table.SEEKS, -1)
    with pytest.raises(ValueError, match="has the labels"):
        ledger.add(table.REFUSED, 1)
