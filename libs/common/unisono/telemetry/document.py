"""The table of metrics as a page of documentation."""

from collections.abc import Iterable

from unisono.telemetry.table import DRIFT_BUCKETS_S, METRICS, TARGET_LABELS, Metric

_HEAD = """\
# Metrics

Printed by `python -m unisono.telemetry`; edit `libs/common/unisono/telemetry/table.py` instead.

Each device serves these at `/metrics` of its exporter. Every series also carries the labels
{target}. Where the values of a label are known beforehand, its series
exist at zero from the start. A gauge without a reading has no series. Counters never go back
when a process of the device starts again; they start at zero with the exporter.

|drift| is counted in buckets up to {buckets} s.
The share of time within 50 ms is
`unisono_drift_abs_seconds_bucket{{le="0.05"}}` over `unisono_drift_abs_seconds_count`.
"""


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "—"
    name, meaning = f"`{metric.name}`", metric.meaning.replace("|", "\\|")
    owner = metric.owner.replace("_", "-")
    return _cells((name, metric.kind, metric.unit or "—", labels, owner, meaning))


def markdown(metrics: Iterable[Metric] = METRICS) -> str:
    """The page, ending in one newline."""
    head = _HEAD.format(
        target=" and ".join(f"`{label}`" for label in TARGET_LABELS),
        buckets=", ".join(f"{bound:g}" for bound in DRIFT_BUCKETS_S),
    )
    lines = [_cells(("name", "kind", "unit", "labels", "counted by", "meaning"))]
    lines.append("|---|---|---|---|---|---|")
    lines += [_row(metric) for metric in metrics]
    return head + "\n" + "\n".join(lines) + "\n"
