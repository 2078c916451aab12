"""How often a device calls: within bounds, whatever the cloud asks and however often it fails."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.core.cadence import (
    JITTER,
    MAX_ASKED_S,
    MAX_BACKOFF_S,
    MIN_ASKED_S,
    REFUSED_S,
    TABLE,
    Activity,
    Call,
    LanHealth,
    interval_s,
    next_wait_s,
    situation,
)
from unisono.core.mode import Mode

intervals = st.floats(0.2, 3600)
jitters = st.floats(-1, 1)
asked = st.none() | st.floats(-1e9, 1e9)


def test_every_situation_has_a_row() -> None:
    assert set(TABLE) == {(a, h) for a in Activity for h in LanHealth}
    for in_session in (True, False):
        for mode in Mode:
            assert situation(in_session, mode) in TABLE
    assert situation(False, Mode.LAN)[0] is Activity.IDLE
    assert situation(True, Mode.STOPPED)[0] is Activity.STARTING
    assert situation(True, Mode.HOLDOVER) == (Activity.PLAYING, LanHealth.BAD)
    assert situation(True, Mode.LAN) == (Activity.PLAYING, LanHealth.GOOD)


@given(st.sampled_from(Call), intervals, st.sampled_from(sorted(TABLE)))
def test_a_row_scales_the_sites_own_interval(
    call: Call, base_s: float, row: tuple[Activity, LanHealth]
) -> None:
    assert interval_s(call, base_s, row) == base_s * TABLE[row].of(call)
    assert interval_s(call, base_s, row) >= base_s


@given(intervals, jitters)
def test_without_trouble_the_interval_holds_within_the_jitter(interval: float, jit: float) -> None:
    wait_s = next_wait_s(interval, jitter=jit)
    assert interval * (1 - JITTER) * 0.999 <= wait_s <= interval * (1 + JITTER) * 1.001


@given(intervals, jitters, asked)
def test_a_hint_is_obeyed_within_reason(interval: float, jit: float, hint: float | None) -> None:
    wait_s = next_wait_s(interval, jitter=jit, asked_s=hint)
    if hint is not None:
        wanted = min(max(hint, MIN_ASKED_S), MAX_ASKED_S)
        assert abs(wait_s - wanted) <= wanted * JITTER * 1.001


@given(intervals, jitters, st.integers(1, 10_000), st.booleans(), asked)
def test_failures_back_off_and_never_stop_the_calls(
    interval: float, jit: float, failures: int, refused: bool, after: float | None
) -> None:
    wait_s = next_wait_s(interval, jitter=jit, failures=failures, refused=refused, asked_s=after)
    assert wait_s >= interval * (1 - JITTER) * 0.999
    longest = max(MAX_BACKOFF_S, REFUSED_S, interval, MAX_ASKED_S if after is not None else 0)
    assert wait_s <= longest * (1 + JITTER) * 1.001
    if after is not None:
        assert wait_s >= min(after, MAX_ASKED_S) * 0.999
    if refused:
        assert wait_s >= REFUSED_S * (1 - JITTER) * 0.999


@given(intervals, st.integers(1, 60))
def test_each_failure_doubles_the_wait_up_to_the_limit(interval: float, failures: int) -> None:
    first = next_wait_s(interval, jitter=0, failures=failures)
    second = next_wait_s(interval, jitter=0, failures=failures + 1)
    assert second == min(first * 2, max(MAX_BACKOFF_S, interval))
