"""Folded drift says what all samples would have said, in memory that does not grow with them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from services.cli.demo.drifts import Drifts
from unisono.core.summary import EMPTY, summarise_ms

NS_PER_HOUR = 3600 * 10**9
ROUNDING_MS = 1e-9


def folded(drifts_ns: list[int]) -> Drifts:
    drifts = Drifts()
    for drift_ns in drifts_ns:
        drifts.add(drift_ns)
    return drifts


@given(st.lists(st.integers(-NS_PER_HOUR, NS_PER_HOUR), min_size=1, max_size=100))
def test_all_figures_are_those_of_the_samples_within_the_stated_resolution(
    drifts_ns: list[int],
) -> None:
    found, exact = folded(drifts_ns).summary(), summarise_ms([ns / 1e6 for ns in drifts_ns])
    assert (found.count, found.max) == (exact.count, exact.max)
    assert found.within_50ms_ratio == exact.within_50ms_ratio
    for name in ("mean", "mean_abs"):
        assert math.isclose(getattr(found, name), getattr(exact, name), abs_tol=ROUNDING_MS)
    for name in ("p50", "p95", "p99"):
        ours, theirs = getattr(found, name), getattr(exact, name)
        allowed = 0.0005 if theirs < 65 else 0.002 * theirs
        assert abs(ours - theirs) <= allowed + ROUNDING_MS


@given(st.lists(st.integers(-65_000, 65_000), min_size=1, max_size=300))
def test_whole_microseconds_up_to_65_ms_are_exact(drifts_us: list[int]) -> None:
    found = folded([1000 * us for us in drifts_us]).summary()
    exact = summarise_ms([us / 1000 for us in drifts_us])
    assert (found.p50, found.p95, found.p99) == (exact.p50, exact.p95, exact.p99)


def test_however_far_and_long_the_bins_stay_few() -> None:
    drifts = Drifts()
    for step in range(200_000):
        drifts.add(step**3 * 1000)  # up to three months
    assert len(drifts._bins) < 10_000
    assert drifts.count == 200_000


def test_of_no_samples_nothing_is_said() -> None:
    assert Drifts().summary() == EMPTY
