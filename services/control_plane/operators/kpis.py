"""A site's days in figures, made of the sums that the calls of each day have left."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.control_plane.operators.bodies import DayBody, DeviceDay
from unisono.core.event_kinds import FALLBACK
from unisono.state import keys
from unisono.state.keys import DAY_MS

HOURS = 24
_SUMS = ("samples", "abs_us", "within", "max_us")


def dates_until(now_ms: int, days: int) -> dict[str, str]:
    """The last days (UTC), the present one last: the store's name of each, and ISO's."""
    times = [now_ms - back * DAY_MS for back in reversed(range(days))]
    return {
        keys.date_of(at_ms): datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
        for at_ms in times
    }


def invocations(sums: Mapping[str, int]) -> int:
    """Calls answered on a day, whoever called."""
    return sum(_by_hour(sums))


def device_calls(sums: Mapping[str, int]) -> int:
    """Those of devices: what a show costs, however often somebody looks at it."""
    return sum(sums.get(f"calls {hour:02}", 0) for hour in range(HOURS))


def day_body(date: str, sums: Mapping[str, int]) -> DayBody:
    """One day; ``sums`` are the fields of `keys.DAY`."""
    by_hour = _by_hour(sums)
    return DayBody(
        date=date,
        invocations=sum(by_hour),
        invocations_by_hour=by_hour,
        device_calls=device_calls(sums),
        cpu_s=sums.get("cpu_us", 0) / 1e6,
        fallbacks=sums.get(f"event {FALLBACK}", 0),
        failovers=sums.get("event failover", 0),
        sessions_completed=sums.get("event session_ended", 0),
        sessions_failed=sums.get("event session_failed", 0),
        devices=_devices(sums),
    )


def _by_hour(sums: Mapping[str, int]) -> list[int]:
    kinds = ("calls", "looks")
    return [sum(sums.get(f"{kind} {hour:02}", 0) for kind in kinds) for hour in range(HOURS)]


def _devices(sums: Mapping[str, int]) -> dict[str, DeviceDay]:
    found: dict[str, dict[str, int]] = {}
    for name, value in sums.items():
        device_id, _, what = name.rpartition(" ")
        if what in _SUMS and device_id:
            found.setdefault(device_id, {})[what] = value
    return {device_id: _device_day(figures) for device_id, figures in sorted(found.items())}


def _device_day(figures: Mapping[str, int]) -> DeviceDay:
    samples = figures.get("samples", 0)
    largest_us = figures.get("max_us")
    return DeviceDay(
        samples=samples,
        mean_abs_ms=figures.get("abs_us", 0) / samples / 1000 if samples else None,
        max_ms=None if largest_us is None else largest_us / 1000,
        within_50ms_ratio=figures.get("within", 0) / samples if samples else None,
    )
