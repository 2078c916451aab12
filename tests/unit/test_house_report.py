"""What the demo says of a run: folded from samples with known answers."""

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from services.cli.demo.live import Screen, totals
from services.cli.demo.report import make_report, shortcomings
from services.cli.demo.tally import SETTLE_S, DeviceTally
from services.cli.demo.usage import Reading, Usage
from unisono.bus.topics import CloudStats, DriftSample, LinkStats
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Role
from unisono.core.units import NS_PER_MS, OwnNs

SAMPLE = DriftSample(
    session_id="s",
    term=3,
    role=Role.FOLLOWER,
    at_own_ns=OwnNs(1),
    mode=Mode.LAN,
    player_state=PlayerState.PLAYING,
    drift_ns=0,
    phase_ns=0,
    bound_ns=250_000,
    speed=1.0,
)
LINK = LinkStats(session_id="s", term=3, role=Role.FOLLOWER, received=90, lost=2)


def tally_of(*drifts_ms: float | None, **changes: Any) -> DeviceTally:
    """A tally with one sample each 100 ms from 5 s after the start on."""
    tally = DeviceTally("screen-1", start_s=0.0, session_id="s")
    for step, drift_ms in enumerate(drifts_ms):
        drift_ns = None if drift_ms is None else round(drift_ms * NS_PER_MS)
        sample = replace(SAMPLE, at_own_ns=OwnNs(step), drift_ns=drift_ns, **changes)
        tally.take_drift(sample, SETTLE_S + step / 10)
    return tally


def report_of(tally: DeviceTally, **usage: Usage) -> dict[str, Any]:
    report = make_report(
        tallies=[tally],
        usage={("screen-1", name): spent for name, spent in usage.items()},
        session_id="s",
        seconds=20.0,
        now_s=tally.last_s,
    )
    return dict(json.loads(json.dumps(report)))


def test_statistics_are_of_the_size_of_drift_but_for_the_mean() -> None:
    figures = report_of(tally_of(-2.0, 1.0, -3.0, 2.0))["devices"][0]["drift_ms"]
    assert figures == {
        "now": 2.0,
        "mean": -0.5,
        "mean_abs": 2.0,
        "p50": 2.0,
        "p95": 3.0,
        "p99": 3.0,
        "max": 3.0,
    }


def test_what_came_before_the_fifth_second_or_of_another_session_does_not_count() -> None:
    tally = tally_of(1.0)
    tally.take_drift(replace(SAMPLE, at_own_ns=OwnNs(50), drift_ns=10**9), SETTLE_S - 0.001)
    other = replace(SAMPLE, at_own_ns=OwnNs(51), session_id="old", drift_ns=10**9)
    tally.take_drift(other, SETTLE_S + 1)
    assert (tally.drifts.count, tally.summary().max) == (1, 1.0)


def test_a_repeated_sample_counts_once_but_keeps_the_device_alive() -> None:
    tally = tally_of(1.0)
    assert tally.last is not None
    tally.take_drift(tally.last, SETTLE_S + 9)
    assert tally.drifts.count == 1
    assert tally.mode(SETTLE_S + 9) is Mode.LAN


def test_time_without_a_drift_is_not_within_50_ms() -> None:
    assert report_of(tally_of(1.0, None, 60.0, 2.0))["devices"][0]["within_50ms_ratio"] == 0.5
    assert report_of(tally_of(None))["devices"][0]["within_50ms_ratio"] == 0.0


def test_counters_go_on_when_their_process_starts_again() -> None:
    tally = tally_of(0.0)
    for received in (90, 100, 7, 9):
        tally.take_link(replace(LINK, received=received, refused={"signature": received}))
    for seeks, own_ns in ((2, 10), (0, 11), (1, 12)):
        sample = replace(SAMPLE, at_own_ns=OwnNs(own_ns), seeks=seeks, mode_seconds={"lan": seeks})
        tally.take_drift(sample, SETTLE_S + 1)
    device = report_of(tally)["devices"][0]
    assert device["beacons"]["received"] == 109
    assert device["beacons"]["refused"] == {"signature": 109}
    assert (device["beacons"]["path"], device["beacons"]["copies_by_path"]) == (None, {})
    assert device["seeks"] == 3
    assert device["mode_seconds"] == {"lan": 3.0}


def test_report_holds_the_path_in_use_and_what_each_brought_and_lost() -> None:
    tally = tally_of(0.0)
    for copies in (90, 100, 7):
        stats = replace(LINK, path="udp", copies_by_path={"udp": copies, "tcp": 1})
        tally.take_link(replace(stats, lost_by_path={"udp": copies // 10}))
    beacons = report_of(tally)["devices"][0]["beacons"]
    assert beacons["path"] == "udp"
    assert beacons["copies_by_path"] == {"udp": 107, "tcp": 1}
    assert beacons["lost_by_path"] == {"udp": 10}


def test_report_holds_session_cloud_and_processes() -> None:
    tally = tally_of(0.0, start_error_ns=-1_500_000)
    tally.take_cloud(CloudStats(True, None, requests={"heartbeat 200": 4, "heartbeat 503": 1}))
    spent = Usage()
    spent.add(1, Reading(2.0, 30_000_000))
    spent.add(1, Reading(2.5, 20_000_000))
    report = report_of(tally, beacon=spent)
    assert (report["schema"], report["seconds"]) == (1, 20.0)
    assert report["session"] == {"id": "s", "term": 3, "start_error_ms": -1.5}
    assert report["cloud"] == {"requests": {"heartbeat": 5}}
    device = report["devices"][0]
    assert device["processes"] == {"beacon": {"cpu_seconds": 0.5, "rss_mb_max": 30.0}}
    assert (device["role"], device["mode"], device["clock_bound_ms"]) == ("follower", "lan", 0.25)


@pytest.mark.parametrize(
    ("tally", "sentence"),
    [
        (tally_of(1.0, -20.0), None),
        (tally_of(60.0, 1.0), "screen-1 drifted: p95 of |drift| is 60 ms, over 50 ms"),
        (tally_of(*[1.0] * 99, -60.0), "screen-1 was -60 ms off at the end, over 50 ms"),
        (
            tally_of(*[1.0] * 99, None),
            "screen-1 was not playing at the end: its newest sample has no drift",
        ),
        (tally_of(*[1.0] * 95, *[None] * 4, 1.0), None),
        (
            tally_of(*[1.0] * 9, None, 2.0),
            "screen-1 was within 50 ms in 90.9% of its samples only, under 95%",
        ),
        (tally_of(1.0, mode=Mode.HOLDOVER), "screen-1 ended in holdover mode, not lan"),
        (tally_of(None), "screen-1 reported no drift from 5 s after the start on"),
        (DeviceTally("screen-1"), "screen-1 ended in no mode, not lan"),
    ],
)
def test_verdict(tally: DeviceTally, sentence: str | None) -> None:
    assert shortcomings(report_of(tally)) == ([sentence] if sentence else [])


def test_the_table_says_when_the_cloud_is_lost() -> None:
    tallies = [tally_of(1.0), tally_of(1.0)]
    tallies[0].take_cloud(CloudStats(connected=False, last_contact_own_ns=None))
    assert "cloud: 1 of 2 devices cannot reach it" in totals(tallies, SETTLE_S, "playing")
    tallies[0].take_cloud(CloudStats(connected=True, last_contact_own_ns=None))
    assert "cloud" not in totals(tallies, SETTLE_S, "playing")


def test_a_device_that_fell_silent_is_not_in_lan_mode() -> None:
    tally = tally_of(1.0)
    report = make_report(
        tallies=[tally], usage={}, session_id="s", seconds=1, now_s=tally.last_s + 5
    )
    assert shortcomings(report) == ["screen-1 ended in no mode, not lan"]


def test_without_a_terminal_lines_are_plain_and_whole() -> None:
    output = StringIO()
    tally = tally_of(1.25)
    tally.take_link(replace(LINK, path="udp-unicast"))
    with Screen(["logs are in /r"], output) as screen:
        screen.show([tally, DeviceTally("screen-2")], now_s=tally.last_s, status="playing")
    lines = output.getvalue().splitlines()
    assert lines[0] == "logs are in /r"
    assert "device=screen-1 role=follower mode=lan now ms=+1.25" in lines[1]
    assert lines[1].endswith("path=udp-unicast")
    assert lines[2] == "device=screen-2"
    assert lines[3].startswith("playing | 1 of 2 in lan mode")
    assert "\x1b" not in output.getvalue()


@pytest.mark.parametrize(("columns", "shown"), [(119, False), (120, True)])
def test_the_path_is_shown_where_the_terminal_is_wide_enough(
    columns: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    output = StringIO()
    tally = tally_of(1.25)
    tally.take_link(replace(LINK, path="udp-unicast"))
    with Screen([], output) as screen:
        screen.show([tally], now_s=tally.last_s, status="playing")
    assert ("udp-unicast" in output.getvalue()) is shown
    assert "bound ms" in output.getvalue()
