"""Counters only grow, and lose nothing but what a crash took with it."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.telemetry import table
from unisono.telemetry.ledger import Ledger

# Each inner list is one life of the other process: what it counts between two of its reports.
LIVES = st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=10), max_size=6)


@given(st.lists(st.floats(0, 1e9)))
def test_whatever_is_reported_a_counter_never_goes_back(reports: list[float]) -> None:
    ledger = Ledger()
    before = 0.0
    for report in reports:
        ledger.absorb(table.SEEKS, report)
        now = ledger.values(table.SEEKS)[()]
        assert now >= before
        before = now
    assert before >= max(reports, default=0.0) * (1 - 1e-12)


@given(LIVES)
def test_restarts_that_are_noticed_lose_nothing(lives: list[list[int]]) -> None:
    ledger = Ledger()
    for life in lives:
        count = 0
        # A process that has just started reports zero before it has counted anything.
        ledger.absorb(table.SEEKS, 0)
        for amount in life:
            count += amount
            ledger.absorb(table.SEEKS, count)
    assert ledger.values(table.SEEKS)[()] == sum(map(sum, lives))


@given(st.lists(st.floats(0, 10), max_size=50))
def test_histogram_counts_every_observation_once(values: list[float]) -> None:
    ledger = Ledger()
    for value in values:
        ledger.observe(table.DRIFT_ABS, value)
    state = ledger.histogram(table.DRIFT_ABS)
    assert sum(state.counts) == len(values)
    for index, bound in enumerate(state.bounds):
        assert sum(state.counts[: index + 1]) == sum(value <= bound for value in values)
