"""The demo's report: a JSON document whose schema is docs/report.md, and the verdict. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.cli.demo.tally import DeviceTally, GrownMap
from services.cli.demo.usage import Usage
from unisono.core.mode import Mode
from unisono.core.summary import IN_UNISON_MS
from unisono.core.units import ns_to_ms

SCHEMA = 1
# As many samples as p95 forgives may be off, or without a drift at all; no more.
MIN_WITHIN_RATIO = 0.95


def make_report(
    *,
    tallies: Sequence[DeviceTally],
    usage: Mapping[tuple[str, str], Usage],
    session_id: str,
    seconds: float,
    now_s: float,
) -> dict[str, Any]:
    """The report of one run; ``usage`` is keyed by (device id, process name)."""
    errors = [t.start_error_ns for t in tallies if t.start_error_ns is not None]
    worst_ns = max(errors, key=abs, default=None)
    terms = [t.last.term for t in tallies if t.last is not None]
    return {
        "schema": SCHEMA,
        "seconds": round(seconds, 3),
        "session": {
            "id": session_id,
            "term": max(terms, default=None),
            "start_error_ms": None if worst_ns is None else _ms(worst_ns),
        },
        "devices": [_device(tally, usage, now_s) for tally in tallies],
        "cloud": {"requests": _requests(tallies)},
    }


def _device(
    tally: DeviceTally, usage: Mapping[tuple[str, str], Usage], now_s: float
) -> dict[str, Any]:
    sample, drift = tally.now(now_s), tally.summary()
    ratio = tally.within_50ms_ratio()
    figures = {
        name: _rounded(getattr(drift, name))
        for name in ("mean", "mean_abs", "p50", "p95", "p99", "max")
    }
    now = None if sample is None or sample.drift_ns is None else _ms(sample.drift_ns)
    return {
        "device_id": tally.device_id,
        "role": sample.role.value if sample else None,
        "mode": sample.mode.value if sample else None,
        "drift_ms": {"now": now, **figures},
        "within_50ms_ratio": None if ratio is None else round(ratio, 6),
        "mode_seconds": {k: round(v, 3) for k, v in tally.mode_seconds.totals().items()},
        "seeks": int(tally.seeks.total),
        "speed_changes": int(tally.speed_changes.total),
        "beacons": {
            "sent": int(tally.sent.total),
            "received": int(tally.received.total),
            "lost": int(tally.lost.total),
            "refused": _counts(tally.refused),
            "path": tally.path or None,
            "copies_by_path": _counts(tally.copies_by_path),
            "lost_by_path": _counts(tally.lost_by_path),
        },
        "clock_bound_ms": None if not sample or sample.bound_ns is None else _ms(sample.bound_ns),
        "processes": {
            name: {
                "cpu_seconds": round(spent.cpu_s, 2),
                "rss_mb_max": round(spent.rss_bytes_max / 1e6, 1),
            }
            for (group, name), spent in sorted(usage.items())
            if group == tally.device_id
        },
    }


def _counts(counters: GrownMap) -> dict[str, int]:
    return {name: int(total) for name, total in counters.totals().items()}


def _requests(tallies: Sequence[DeviceTally]) -> dict[str, int]:
    """Calls to the control plane by route, whatever their outcome, of all devices."""
    total: Counter[str] = Counter()
    for tally in tallies:
        for name, count in tally.requests.totals().items():
            total[name.rpartition(" ")[0] or name] += int(count)
    return dict(sorted(total.items()))


def shortcomings(report: Mapping[str, Any]) -> list[str]:
    """Why this run was not in unison: one sentence a device, none when all is well."""
    found = ((d["device_id"], next(_shortcomings(d), None)) for d in report["devices"])
    return [f"{name} {problem}" for name, problem in found if problem]


def _shortcomings(device: Mapping[str, Any]) -> Iterator[str]:
    """What to say of a device, after its name; the gravest first."""
    mode, drift, ratio = device["mode"], device["drift_ms"], device["within_50ms_ratio"]
    if mode != Mode.LAN.value:
        yield f"ended in {mode or 'no'} mode, not lan"
    if drift["p95"] is None:
        yield "reported no drift from 5 s after the start on"
        return
    if drift["now"] is None:
        yield "was not playing at the end: its newest sample has no drift"
    elif abs(drift["now"]) > IN_UNISON_MS:
        yield f"was {drift['now']:+g} ms off at the end, over {IN_UNISON_MS:g} ms"
    if drift["p95"] > IN_UNISON_MS:
        yield f"drifted: p95 of |drift| is {drift['p95']:g} ms, over {IN_UNISON_MS:g} ms"
    if ratio < MIN_WITHIN_RATIO:
        yield (
            f"was within {IN_UNISON_MS:g} ms in {ratio:.1%} of its samples only, "
            f"under {MIN_WITHIN_RATIO:.0%}"
        )


def _ms(value_ns: int) -> float:
    return round(ns_to_ms(value_ns), 4)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
