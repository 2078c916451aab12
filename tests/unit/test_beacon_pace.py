"""How often a follower asks, and by which way; how the beat is kept."""

import asyncio
import itertools
import logging

import pytest

from services.beacon.beat import Beat
from services.beacon.pace import (
    DATAGRAM_EVERY,
    DATAGRAMS_IN_VAIN,
    JOINING_WAIT_S,
    STEADY_WAIT_S,
    Route,
    probe_wait_s,
)
from unisono.core.units import NS_PER_MS, NS_PER_S, NS_PER_US, OwnNs


def wait_s(bound_ns: int | None, *, joined_for_s: float = 600, unanswered: int = 0) -> float:
    return probe_wait_s(
        joined_for_s=joined_for_s, bound_ns=bound_ns, answered=99, unanswered=unanswered, dice=0.5
    )


def test_the_better_the_bound_the_less_is_asked() -> None:
    waits = [wait_s(bound_us * NS_PER_US) for bound_us in (0, 300, 600, 900, 1_500, 2_000, 9_000)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] == STEADY_WAIT_S
    assert waits[-1] == wait_s(None) == 0.5


def test_a_joiner_asks_fast_until_its_clock_is_known_or_time_is_up() -> None:
    assert wait_s(None, joined_for_s=0) == JOINING_WAIT_S
    assert wait_s(2 * NS_PER_MS, joined_for_s=1) == JOINING_WAIT_S
    assert wait_s(100 * NS_PER_US, joined_for_s=1) > JOINING_WAIT_S
    assert wait_s(None, joined_for_s=3) == 0.5


def test_on_a_bad_path_probes_become_rarer_with_the_time_that_was_spent_on_it() -> None:
    waits = [wait_s(2 * NS_PER_MS, joined_for_s=joined_s) for joined_s in (1, 3, 10, 20, 40)]
    assert waits == pytest.approx([0.05, 0.05, 0.1, 0.2, 0.4])


def test_who_never_answers_is_asked_seldom_however_little_is_known() -> None:
    assert wait_s(None, unanswered=100) == STEADY_WAIT_S


def test_followers_do_not_ask_together() -> None:
    waits = [
        probe_wait_s(joined_for_s=60, bound_ns=0, answered=99, unanswered=0, dice=dice)
        for dice in (0.0, 0.999)
    ]
    assert waits[1] - waits[0] > STEADY_WAIT_S / 3


def test_datagrams_in_vain_lead_to_the_stream_and_an_answer_leads_back() -> None:
    route = Route()
    for _ in range(DATAGRAMS_IN_VAIN):
        assert (route.by_datagram, route.by_stream) == (True, False)
        route = route.after_asking()
    tried = 0
    for _ in range(2 * DATAGRAM_EVERY):
        assert route.by_stream
        tried += route.by_datagram
        route = route.after_asking()
    assert tried == 2, "the better way is still tried now and then"
    route = route.after_datagram_answered()
    assert (route.by_datagram, route.by_stream) == (True, False)


async def test_the_beat_keeps_its_grid_and_makes_up_for_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hand-moved clock: one step takes far too long, and the log line comes."""
    now_ns = 5 * NS_PER_S
    told = itertools.count()
    at_ns: list[int] = []

    async def sleep(seconds: float) -> None:
        nonlocal now_ns
        now_ns += max(0, round(seconds * NS_PER_S)) + 100_000
        if len(at_ns) >= 250:
            raise asyncio.CancelledError

    def step() -> None:
        nonlocal now_ns
        at_ns.append(now_ns)
        if len(at_ns) == 10:
            now_ns += 175 * NS_PER_MS

    monkeypatch.setattr("services.beacon.beat.asyncio.sleep", sleep)
    beat = Beat(20, lambda: OwnNs(now_ns))
    with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
        await beat.run(step, lambda: (next(told), 3))
    assert all((at - 5 * NS_PER_S) % (50 * NS_PER_MS) == 100_000 for at in at_ns[1:])
    gaps = [b - a for a, b in itertools.pairwise(at_ns)]
    assert sorted(set(gaps[1:])) == [50 * NS_PER_MS, 200 * NS_PER_MS], "no burst"
    (line,) = caplog.messages
    assert "late p50 0.10 p99 0.10 max 0.10 ms, 3 beats missed, 3 sends refused" in line
    assert beat.late_p99_ns == 100_000
