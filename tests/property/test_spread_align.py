"""The spread is the players' own: dating, order and place on the loop leave it alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mpv_clock import Reading
from benchmarks.spread import align, wrap_s

LOOP_S = 20.0
# Where each player stands against the first, and when it was read after the first.
OFFSETS_S = st.lists(st.floats(-0.4, 0.4), min_size=2, max_size=6)
LATER_NS = st.lists(st.integers(0, 5_000_000), min_size=6, max_size=6)


def readings(
    offsets_s: list[float], later_ns: list[int], start_s: float, speed: float
) -> list[Reading]:
    """Players that run at ``speed``, read one after the other."""
    return [
        Reading(10**12 + at, 100_000, (start_s + off + at / 1e9 * speed) % LOOP_S, speed, True)
        for off, at in zip(offsets_s, later_ns, strict=False)
    ]


@given(OFFSETS_S, LATER_NS, st.floats(0, 1e5), st.floats(0.95, 1.05))
def test_spread_is_that_of_the_offsets(
    offsets_s: list[float], later_ns: list[int], start_s: float, speed: float
) -> None:
    found = align(readings(offsets_s, later_ns, start_s, speed), LOOP_S)
    assert found.spread_ms == pytest.approx(1e3 * (max(offsets_s) - min(offsets_s)), abs=1e-4)


@given(OFFSETS_S)
def test_order_of_players_does_not_matter(offsets_s: list[float]) -> None:
    there = align(readings(offsets_s, [0] * 6, 5.0, 1.0), LOOP_S)
    back = align(readings(offsets_s[::-1], [0] * 6, 5.0, 1.0), LOOP_S)
    assert there.leads_ms == pytest.approx(back.leads_ms[::-1], abs=1e-6)


@given(st.floats(-1e4, 1e4), st.integers(-100, 100))
def test_whole_loops_are_nothing(difference_s: float, loops: int) -> None:
    wrapped = wrap_s(difference_s, LOOP_S)
    assert -LOOP_S / 2 <= wrapped <= LOOP_S / 2
    again = wrap_s(difference_s + loops * LOOP_S, LOOP_S)
    assert wrap_s(again - wrapped, LOOP_S) == pytest.approx(0, abs=1e-6)
