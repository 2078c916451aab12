"""The start error: the median of the first readings, on the wall clock."""

from services.corrector.start_error import READINGS, StartError
from unisono.core.units import NS_PER_MS, NS_PER_S, WallNs

START = WallNs(1_800_000_000 * NS_PER_S)


def after(lates_ms: list[int], *, phase_ms: int = 100) -> StartError:
    """Readings whose phase 0 was so many ms after the asked start."""
    found = StartError()
    for number, late_ms in enumerate(lates_ms):
        phase_ns = (phase_ms + 100 * number) * NS_PER_MS
        wall_ns = WallNs(START + phase_ns + late_ms * NS_PER_MS)
        found = found.add(start_at_ns=START, phase_ns=phase_ns, wall_ns=wall_ns)
    return found


def test_too_few_readings_are_no_error() -> None:
    assert after([1] * (READINGS - 1)).error_ns is None


def test_the_median_counts_and_later_readings_change_nothing() -> None:
    assert after([2, 2, 40, 2, 1]).error_ns == 2 * NS_PER_MS
    assert after([2, 2, 2, 2, 2, 90, 90, 90, 90, 90, 90]).error_ns == 2 * NS_PER_MS
    assert after([-3] * READINGS).error_ns == -3 * NS_PER_MS


def test_a_device_that_joined_late_has_none() -> None:
    assert after([1] * 9, phase_ms=60_000).error_ns is None
    assert after([90_000] * 9).error_ns is None, "phase 0 again, a loop later"
