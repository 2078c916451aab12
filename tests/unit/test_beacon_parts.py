"""The beacon process's decisions: where a timeline begins, what to log."""

import asyncio
import logging
from dataclasses import replace

import pytest

from services.beacon.counters import LOG_EVERY_S, Counters
from services.beacon.memory import Memory
from services.beacon.node import unfit
from services.beacon.origin import (
    GOOD_BOUND_NS,
    PATIENCE_NS,
    Instant,
    Origin,
    View,
    as_followed,
    continued_origin,
    first_origin,
    is_better,
    same_timeline,
    wall_origin,
)
from services.beacon.ways import beacon_endpoints, probe_endpoints, tell_unusable
from tests.support.beacon_process import make_spec
from unisono.core.clockmap import ClockMap, identity
from unisono.core.session import Member
from unisono.core.timeline import Playlist, Timeline
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs, WallNs
from unisono.state.local import memory_local_state
from unisono.wire import Reason, Refused

LENGTH_NS = 30 * NS_PER_S
START_MS = 1_700_000_000_000
MAP = ClockMap(OwnNs(0), 7 * NS_PER_S, 20_000, 1_000, 50)


def at(since_start_ns: int, own_ns: int = 500 * NS_PER_S) -> Instant:
    return Instant(OwnNs(own_ns), WallNs(START_MS * NS_PER_MS + since_start_ns))


def first(now: Instant, *, view: View | None = None, stored: int | None = None) -> Origin:
    return first_origin(
        start_at_ms=START_MS,
        now=now,
        view=view,
        stored_own_ns=None if stored is None else OwnNs(stored),
    )


def test_before_the_start_the_wall_clock_is_asked_again() -> None:
    now = at(-2 * NS_PER_S)
    assert wall_origin(START_MS, now) == Origin(OwnNs(now.own_ns + 2 * NS_PER_S), settled=False)
    assert wall_origin(START_MS, at(0)).settled
    assert not first(now).settled


@pytest.mark.parametrize("wall_step_s", [0, 1, -7, 86_400, -3_600])
def test_an_origin_that_was_played_by_survives_any_step_of_the_wall_clock(wall_step_s: int) -> None:
    now = at((100 + wall_step_s) * NS_PER_S)
    stored = now.own_ns - 100 * NS_PER_S
    assert first(now, stored=stored) == Origin(OwnNs(stored), settled=True)


def test_an_origin_is_of_this_boot_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def kept_and_found(kept_in: str, found_in: str) -> int | None:
        state = memory_local_state()
        monkeypatch.setattr("services.beacon.memory.boot_id", lambda: kept_in)
        assert await Memory(state).keep_origin("s", OwnNs(7))
        monkeypatch.setattr("services.beacon.memory.boot_id", lambda: found_in)
        return await Memory(state).origin("s")

    assert asyncio.run(kept_and_found("boot-1", "boot-1")) == 7
    assert asyncio.run(kept_and_found("boot-1", "boot-2")) is None
    assert asyncio.run(kept_and_found("", "")) is None  # who knows which boot that was


def test_a_member_that_cannot_be_reached_is_told_once_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = Member("good", "10.0.0.1", 7601, 7602)
    half = Member("half", "10.0.0.2", 7601, 0)
    bad = Member("bad", "screen-3.local", 7601, 7602)
    spec = make_spec([good, half, bad], START_MS)
    caplog.set_level(logging.DEBUG)
    assert set(beacon_endpoints(spec, besides="me")) == {"good", "half"}
    assert set(probe_endpoints(spec, besides="me")) == {"good"}
    assert set(probe_endpoints(spec, besides="good")) == set()
    assert caplog.records == []
    tell_unusable(spec)
    told = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in told] == ["half", "bad"]
    assert all("UNISONO_LAN_INTERFACE" in line for line in told)


def test_a_new_master_continues_what_it_followed_without_a_step() -> None:
    view = View("s", Timeline(3 * NS_PER_S, LENGTH_NS), MAP)
    now = at(77 * NS_PER_S)
    origin = first(now, view=view, stored=5)
    assert origin == continued_origin(view, now.own_ns)
    followed_ns = view.timeline.phase_ns(MAP.to_master(now.own_ns))
    assert Timeline(origin.own_ns, LENGTH_NS).phase_ns(now.own_ns) == followed_ns


def test_a_timeline_is_kept_while_beacons_differ_by_rounding_or_whole_loops() -> None:
    known = Timeline(1_000_000, LENGTH_NS)
    for told_ns in (1_000_900, 999_100, 1_000_000 + 4 * LENGTH_NS - 3):
        assert same_timeline(known, Timeline(told_ns, LENGTH_NS)) is known
    for told in (Timeline(1_002_000, LENGTH_NS), Timeline(1_000_000, LENGTH_NS, 2.0)):
        assert same_timeline(known, told) is told
    earlier = Timeline(1_000_000 - LENGTH_NS, LENGTH_NS)  # a countdown set back by a whole loop
    assert same_timeline(known, earlier) is earlier


def test_a_new_masters_clock_waits_until_it_is_good_or_time_is_up() -> None:
    old = View("s", Timeline(0, LENGTH_NS), replace(MAP, bound_ns=100))
    vague = replace(MAP, bound_ns=10 * NS_PER_MS)
    now = OwnNs(1)
    assert not is_better(vague, old, known_for_ns=0, now_ns=now)
    assert is_better(vague, None, known_for_ns=0, now_ns=now)
    assert is_better(vague, old, known_for_ns=PATIENCE_NS, now_ns=now)
    assert is_better(replace(MAP, bound_ns=GOOD_BOUND_NS), old, known_for_ns=0, now_ns=now)


def test_a_former_masters_own_clock_is_not_exact_for_ever() -> None:
    followed = as_followed(View("s", Timeline(0, LENGTH_NS), identity(OwnNs(0))))
    assert followed.clock_map.bound_at_ns(OwnNs(100 * NS_PER_S)) == 10 * NS_PER_MS


def test_refusals_are_counted_all_and_logged_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters, late = Counters(), Refused(Reason.LATE, "seq 4")
    caplog.set_level(logging.WARNING)
    for at_s in (0.0, 0.1, 0.2, LOG_EVERY_S + 1):
        counters.refuse(late, "tcp", now_s=lambda at_s=at_s: at_s)  # type: ignore[misc]
    counters.refuse(Refused(Reason.SIZE), "10.0.0.7:99", now_s=lambda: 0.0)
    assert counters.refused == {"late": 4, "size": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "refused 1 from tcp: late: seq 4",
        "refused 3 from tcp: late: seq 4",
        "refused 1 from 10.0.0.7:99: size",
    ]


def test_sessions_that_no_beacon_can_carry_are_told_in_a_few_words() -> None:
    spec = make_spec([Member("a", "127.0.0.1", 1, 2)], START_MS)
    assert unfit(spec) is None
    assert unfit(replace(spec, secret_hex="zz")) == "its secret is not hexadecimal"
    assert unfit(replace(spec, secret_hex="ab")) == "its secret is shorter than 16 bytes"
    assert unfit(replace(spec, playlist=Playlist(()))) == "its playlist has no length"
    assert unfit(replace(spec, session_id="ñ" * 33)) is not None
    assert unfit(replace(spec, term=-1)) == "its term is out of range"
