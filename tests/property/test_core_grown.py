"""A counter read from outside grows by what its process counts, over all its lives."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.core.grown import Grown


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1), max_size=6))
def test_lives_add_up(lives: list[list[int]]) -> None:
    grown = Grown()
    growth = 0.0
    for life in lives:
        growth += grown.see(0)
        for amount_so_far in sorted(life):
            growth += grown.see(amount_so_far)
    assert growth == grown.total == sum(max(life) for life in lives)


@given(st.lists(st.floats(-1e9, 1e9)))
def test_it_never_goes_back(values: list[float]) -> None:
    grown = Grown()
    assert all(grown.see(value) >= 0 for value in values)
