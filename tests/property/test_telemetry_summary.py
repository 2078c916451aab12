"""Drift statistics hold for any samples: order, bounds, symmetry."""

import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.core.summary import EMPTY, percentile, summarise_ms

DRIFTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)
PERCENTS = st.integers(1, 100)


@given(DRIFTS)
def test_figures_are_ordered_and_bounded(drifts: list[float]) -> None:
    found = summarise_ms(drifts)
    assert found.count == len(drifts)
    assert None not in astuple(found)
    assert found.p50 is not None and found.p95 is not None and found.p99 is not None  # noqa: PT018
    assert found.max is not None and found.mean is not None  # noqa: PT018
    assert found.mean_abs is not None and found.within_50ms_ratio is not None  # noqa: PT018
    assert found.p50 <= found.p95 <= found.p99 <= found.max == max(map(abs, drifts))
    assert abs(found.mean) <= found.mean_abs * (1 + 1e-9) + 1e-300
    assert found.mean_abs <= found.max * (1 + 1e-9)
    assert {found.p50, found.p95, found.p99} <= set(map(abs, drifts))
    assert 0 <= found.within_50ms_ratio <= 1


@given(DRIFTS)
def test_sign_and_order_do_not_matter_but_for_the_mean(drifts: list[float]) -> None:
    found, mirrored = summarise_ms(drifts), summarise_ms([-d for d in reversed(drifts)])
    assert found.mean is not None
    assert mirrored.mean == -found.mean
    assert mirrored.p95 == found.p95
    assert mirrored.within_50ms_ratio == found.within_50ms_ratio


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200).map(sorted), PERCENTS)
def test_a_percentile_covers_its_share_and_no_smaller_value_does(
    ordered: list[float], percent: int
) -> None:
    value = percentile(ordered, percent)
    covered = sum(sample <= value for sample in ordered)
    below = sum(sample < value for sample in ordered)
    assert covered * 100 >= percent * len(ordered)
    assert below * 100 < percent * len(ordered)


@given(st.integers(1, 50), st.floats(-1e6, 1e6))
def test_equal_samples_give_that_sample(count: int, drift: float) -> None:
    found = summarise_ms([drift] * count)
    assert found.p50 == found.p99 == found.max == abs(drift)
    assert found.mean is not None
    assert math.isclose(found.mean, drift, rel_tol=1e-12)


def test_known_figures() -> None:
    found = summarise_ms([float(n) for n in range(-100, 0)])
    assert (found.p50, found.p95, found.p99, found.max) == (50, 95, 99, 100)
    assert found.mean == -50.5
    assert found.mean_abs == 50.5
    assert found.within_50ms_ratio == 0.5


def test_no_samples_have_no_figures() -> None:
    assert summarise_ms([]) == EMPTY
    assert EMPTY.p95 is None


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        summarise_ms([1.0, math.nan])
    with pytest.raises(ValueError, match="needs samples"):
        percentile([], 50)
    with pytest.raises(ValueError, match="percent"):
        percentile([1.0], 0)
