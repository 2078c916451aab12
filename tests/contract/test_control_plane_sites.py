"""What operators see of sites, sessions and devices; and what administrators do with devices."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.accounts import log_in, put_account
from tests.support.control_plane import (
    ADMIN,
    FILM,
    OPERATOR,
    ControlPlane,
    Time,
    as_device,
    obey,
    running_control_plane,
    start,
    two_devices,
)
from unisono.state import DocumentStore, RedisStore
from unisono.state.documents import Batch
from unisono.state.keys import DAY_MS, HOUR_MS
from unisono.state.store import Fields, Hash

DRIFT = {"count": 10, "mean": -0.5, "mean_abs": 2.0, "max": 60.0, "within_50ms_ratio": 0.9}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        yield plane


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def say(cloud: ControlPlane, bearer: str, **fields: Any) -> None:
    path = "/v1/sync/status/runtime"
    reply = await cloud.http.post(path, json=fields, headers=as_device(bearer))
    assert reply.status_code == 200, reply.text


async def test_sites_in_one_line_each(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    await cloud.enrol("screen-9", site="hall")
    session = await start(cloud)
    line = {k: session[k] for k in ("session_id", "term", "master_device_id", "state")}
    assert await cloud.show("/v1/sites") == {
        "sites": [
            {"site": "hall", "devices": 1, "devices_seen": 0, "sessions": []},
            {"site": "lobby", "devices": 2, "devices_seen": 2, "sessions": [line]},
        ],
        "next": None,
    }
    await obey(cloud, one, two)
    time.ms += 16_000
    (_, lobby) = (await cloud.show("/v1/sites"))["sites"]
    assert (lobby["devices_seen"], lobby["sessions"][0]["state"]) == (0, "playing")


async def test_the_list_of_sites_comes_page_by_page(
    cloud: ControlPlane, redis_url: str, time: Time
) -> None:
    names = ["attic", "cellar", "hall", "lobby", "yard"]
    for name in names:
        await cloud.administer(f"/v1/sites/{name}/enroll-tokens")
    await put_account(redis_url, "ana", sites=("attic", "hall", "yard"))
    pages = []
    async with log_in(cloud, "ana") as ana:
        after: str | None = ""
        while after is not None:
            more = f"&after={after}" if after else ""
            page = (await ana.http.get(f"/v1/sites?limit=2{more}")).json()
            pages.append([line["site"] for line in page["sites"]])
            after = page["next"]
    assert pages == [["attic", "hall"], ["yard"]]
    shown = [line["site"] for line in (await cloud.show("/v1/sites?after=hall"))["sites"]]
    assert shown == ["lobby", "yard"]


async def test_a_site_that_is_busy_is_listed_all_the_same(
    cloud: ControlPlane, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_devices(cloud)
    session = await start(cloud)
    await cloud.operate(f"/v1/sessions/{session['session_id']}/stop")
    time.ms += 60_000  # the session has ended meanwhile, which remains to be stored
    settle = DocumentStore.settle

    async def lost(store: DocumentStore, batch: Batch, **made: Any) -> bool:
        return not made and await settle(store, batch)

    monkeypatch.setattr(DocumentStore, "settle", lost)
    busy = await cloud.http.get("/v1/sites/lobby", headers=OPERATOR)
    assert code(busy) == (503, "site_busy")
    (line,) = (await cloud.show("/v1/sites"))["sites"]
    assert (line["site"], line["sessions"]) == ("lobby", [])
    monkeypatch.undo()
    # It was an answer of ours, and is counted as any other.
    metrics = (await cloud.http.get("/metrics?site=lobby")).text
    assert 'requests_total{site="lobby",route="site",status="503"} 1' in metrics


READS = ("", "/lobby/events", "/lobby/drift", "/lobby/kpis", "/lobby/flags", "/lobby/sessions")


async def test_who_does_not_show_the_devices_does_not_read_them(
    cloud: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = await two_devices(cloud)
    await say(cloud, one, mode="lan", drift_ms=DRIFT)
    read: set[str] = set()
    below = RedisStore.read

    async def noted(self: RedisStore, reads: Sequence[Fields]) -> list[Hash]:
        read.update(line.key for line in reads)
        return await below(self, reads)

    monkeypatch.setattr(RedisStore, "read", noted)
    for path in READS:
        await cloud.show(f"/v1/sites{path}")
    assert (await cloud.http.get("/metrics")).is_success
    heavy = {f"unisono:{{lobby}}:{name}" for name in ("reports", "statuses", "acks")}
    assert not read & heavy
    await cloud.show("/v1/sites/lobby")
    assert heavy <= read


async def test_a_site_shows_how_each_device_does(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    await cloud.enrol("screen-3")
    await cloud.beat(two, beacon_port=7620, interval_s=60.0, wired=True, player="mpv")
    session = await start(cloud, device_ids=["screen-1", "screen-2"])
    await obey(cloud, one)
    await say(cloud, one, mode="lan", drift_ms=DRIFT)
    time.ms += 20_000
    site = await cloud.show("/v1/sites/lobby")
    first, second, third = site["devices"]
    assert (site["server_time_ms"], site["flags_version"]) == (time.ms, 0)
    assert [d["device_id"] for d in site["devices"]] == ["screen-1", "screen-2", "screen-3"]
    # Silent for longer than three heartbeats of 5 s, but not of a minute.
    assert [d["online"] for d in site["devices"]] == [False, True, False]
    assert [d["role"] for d in site["devices"]] == ["follower", "master", "idle"]
    assert [d["session_id"] for d in site["devices"]] == [session["session_id"]] * 2 + [""]
    assert first["status"]["drift_ms"]["mean"] == -0.5
    assert first["last_ack"]["outcome"] == "done"
    assert second["last_ack"] is None
    assert (second["heartbeat"]["player"], second["heartbeat"]["wired"]) == ("mpv", True)
    assert (third["seen_ms"], third["heartbeat"], third["status"]) == (None, None, None)
    (running,) = site["sessions"]
    assert running["progress"] == {"done": 1, "failed": 0, "members": 2}
    assert (running["created_by"], running["pinned"]) == ("operator-token", "")
    assert running["successors"] == ["screen-1"]
    assert "secret" not in str(site)


async def test_invocations_are_told_by_day(cloud: ControlPlane, time: Time) -> None:
    one, _ = await two_devices(cloud)
    counters = (await cloud.show("/v1/sites/lobby"))["counters"]
    # Two enrolments with their tokens, two heartbeats.
    assert counters == {
        "failovers": 0,
        "fallbacks": 0,
        "invocations_today": 6,
        "invocations_yesterday": 0,
        "device_calls_today": 4,
        "device_calls_yesterday": 0,
    }
    time.ms += DAY_MS
    await cloud.beat(one)
    counters = (await cloud.show("/v1/sites/lobby"))["counters"]
    assert (counters["invocations_yesterday"], counters["invocations_today"]) == (7, 1)
    # How often somebody looks makes no difference to what the devices cost.
    assert (counters["device_calls_yesterday"], counters["device_calls_today"]) == (4, 1)


async def test_sessions_that_run_and_those_that_are_over(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    ended: list[str] = []
    for _ in range(2):
        session = await start(cloud)
        await obey(cloud, one, two)
        await cloud.operate(f"/v1/sessions/{session['session_id']}/stop")
        await obey(cloud, one, two)
        ended.insert(0, session["session_id"])
        time.ms += 1000
    running = await start(cloud)
    shown = (await cloud.show("/v1/sites/lobby/sessions"))["sessions"]
    assert [s["session_id"] for s in shown] == [running["session_id"], *ended]
    assert [s["state"] for s in shown] == ["preparing", "ended", "ended"]
    few = (await cloud.show("/v1/sites/lobby/sessions?limit=2"))["sessions"]
    assert few == shown[:2]


async def test_looking_is_enough_to_see_that_a_session_failed(
    cloud: ControlPlane, time: Time
) -> None:
    one, _ = await two_devices(cloud)
    session = await start(cloud, start_delay_ms=0)
    for _ in range(5):
        time.ms += 5000
        await cloud.beat(one, beacon_port=7610)
    time.ms += 10_000
    assert (await cloud.show("/v1/sites/lobby"))["sessions"] == []
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert (shown["state"], shown["ended_ms"]) == ("failed", time.ms)
    kinds = [e["kind"] for e in (await cloud.show("/v1/sites/lobby/events"))["events"]]
    assert kinds[0] == "session_failed"
    (today,) = (await cloud.show("/v1/sites/lobby/kpis?days=1"))["days"]
    assert (today["sessions_failed"], today["sessions_completed"]) == (1, 0)


async def test_changes_of_sessions_are_written_down_with_who(
    cloud: ControlPlane, redis_url: str, time: Time
) -> None:
    await two_devices(cloud)
    await put_account(redis_url, "ana", sites=("lobby",))
    async with log_in(cloud, "ana") as ana:
        body = {"site": "lobby", "playlist": [FILM], "master": "screen-1"}
        session = (await ana.send("POST", "/v1/sessions", body)).json()
        assert (session["created_by"], session["pinned"]) == ("ana", "screen-1")
        path = f"/v1/sessions/{session['session_id']}"
        for step in ("master", "stop"):
            time.ms += 1
            assert (await ana.send("POST", f"{path}/{step}", {})).is_success
    events = (await cloud.show("/v1/sites/lobby/events?limit=3"))["events"]
    assert [(e["kind"], e["who"]) for e in events] == [
        ("session_stopped", "ana"),
        ("master_changed", "ana"),
        ("session_created", "ana"),
    ]
    assert {e["session_id"] for e in events} == {session["session_id"]}
    page = await cloud.show("/v1/sites/lobby/events?limit=2")
    older = await cloud.show(f"/v1/sites/lobby/events?before={page['next']}&limit=1")
    assert [e["kind"] for e in older["events"]] == ["session_created"]


async def test_drift_is_told_oldest_first(cloud: ControlPlane, time: Time) -> None:
    one, _ = await two_devices(cloud)
    for n in range(3):
        await say(cloud, one, mode="lan", term=1, drift_ms=DRIFT | {"mean": -0.5 * n})
        time.ms += 2000
    drift = await cloud.show("/v1/sites/lobby/drift?seconds=5")
    assert drift["server_time_ms"] == time.ms
    assert drift["devices"] == {
        "screen-1": [
            [time.ms - 4000, -0.5, 60.0, "lan", 1],
            [time.ms - 2000, -1.0, 60.0, "lan", 1],
        ],
        "screen-2": [],
    }


async def test_drift_is_thinned_to_what_was_asked_for(cloud: ControlPlane, time: Time) -> None:
    one, _ = await two_devices(cloud)
    for n in range(6):
        await say(cloud, one, mode="lan", term=1, drift_ms=DRIFT | {"mean": float(n)})
        time.ms += 1000
    drift = await cloud.show("/v1/sites/lobby/drift?points=4")
    assert [point[1] for point in drift["devices"]["screen-1"]] == [2.0, 5.0]


async def test_days_in_figures(cloud: ControlPlane, time: Time) -> None:
    one, _ = await two_devices(cloud)
    hour = time.ms // HOUR_MS % 24
    summary = {"seq": 1, "at_ms": time.ms, "span_ms": 60_000, "drift_ms": DRIFT}
    fallback = {"seq": 2, "at_ms": time.ms, "event": "fallback", "detail": "silence"}
    body = {"queue": "q", "items": [summary, fallback]}
    reply = await cloud.http.post("/v1/device/telemetry", json=body, headers=as_device(one))
    assert reply.is_success
    days = (await cloud.show("/v1/sites/lobby/kpis?days=3"))["days"]
    dates = [datetime.fromtimestamp((time.ms - n * DAY_MS) / 1000, UTC).date() for n in (2, 1, 0)]
    assert [day["date"] for day in days] == [date.isoformat() for date in dates]
    before, _, today = days
    assert (before["invocations"], before["devices"], before["cpu_s"]) == (0, {}, 0)
    assert (today["invocations"], today["device_calls"]) == (7, 5)
    assert today["invocations_by_hour"] == [7 if n == hour else 0 for n in range(24)]
    assert (today["fallbacks"], today["failovers"]) == (1, 0)
    assert 0 < today["cpu_s"] < 10
    figures = today["devices"]["screen-1"]
    assert (figures["samples"], figures["mean_abs_ms"]) == (10, 2.0)
    assert figures["within_50ms_ratio"] == 0.9
    path = "/v1/sites/lobby/devices/screen-1/telemetry"
    items = (await cloud.show(path))["items"]
    assert {item["seq"] for item in items} == {1, 2}
    # Both are of one millisecond: one a page, and none is lost.
    first = await cloud.show(f"{path}?limit=1")
    second = await cloud.show(f"{path}?limit=1&before={first['next']}")
    assert [*first["items"], *second["items"]] == items
    assert second["next"] is None
    nothing: dict[str, Any] = {"items": [], "next": None}
    assert await cloud.show(f"{path}?to_ms={time.ms - 1}") == nothing


async def test_a_device_is_asked_to_rotate_its_secret(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    path = "/v1/sites/lobby/devices/screen-1/rotate"
    assert (await cloud.http.post(path, headers=ADMIN)).json() == {}
    rotating = [d["rotating"] for d in (await cloud.show("/v1/sites/lobby"))["devices"]]
    assert rotating == [True, False]
    assert (await cloud.beat(one))["rotate"] is True
    (event, *_) = (await cloud.show("/v1/sites/lobby/events"))["events"]
    assert (event["kind"], event["who"]) == ("rotation_asked", "admin-token")
    assert event["device_id"] == "screen-1"


async def test_a_device_is_revoked_in_one_step(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    old = (await cloud.commands(two))[0]["session"]
    path = "/v1/sites/lobby/devices/screen-1"
    flag = {"values": {"SYNC_LAN_ENABLED": True}, "device_id": "screen-1", "why": "canary"}
    await cloud.http.patch("/v1/sites/lobby/flags", json=flag, headers=OPERATOR)
    revoked = await cloud.http.delete(path, headers=ADMIN)
    assert revoked.json() == {"device_id": "screen-1", "session_id": session["session_id"]}
    assert (await cloud.http.get("/v1/device/commands", headers=as_device(one))).status_code == 401
    site = await cloud.show("/v1/sites/lobby")
    assert [d["device_id"] for d in site["devices"]] == ["screen-2"]
    assert (await cloud.show("/v1/sites/lobby/flags"))["devices"] == {}
    # The others go on without it, with a secret and a term that it does not know.
    new = (await cloud.commands(two))[0]["session"]
    assert [m["device_id"] for m in new["members"]] == ["screen-2"]
    assert new["term"] > old["term"]
    assert new["secret_hex"] != old["secret_hex"]
    events = (await cloud.show("/v1/sites/lobby/events"))["events"]
    assert ("device_revoked", "admin-token", "screen-1") in [
        (e["kind"], e["who"], e["device_id"]) for e in events
    ]
    assert code(await cloud.http.delete(path, headers=ADMIN)) == (404, "unknown_device")
    # Its name is free again; nothing of the old device comes back with it.
    again = await cloud.enrol("screen-1")
    assert again != one
    shown = (await cloud.show("/v1/sites/lobby"))["devices"][0]
    assert (shown["seen_ms"], shown["heartbeat"], shown["last_ack"]) == (None, None, None)
    assert await cloud.commands(again) == []


async def test_the_session_of_a_device_alone_ends_with_it(cloud: ControlPlane) -> None:
    one = await cloud.enrol("screen-1")
    await cloud.beat(one)
    session = await start(cloud)
    assert (await cloud.http.delete("/v1/sites/lobby/devices/screen-1", headers=ADMIN)).is_success
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert shown["state"] == "ended"


async def test_revoked_once_by_two_at_a_time(redis_url: str, time: Time) -> None:
    async with (
        running_control_plane(redis_url, time) as one,
        running_control_plane(redis_url, time) as other,
    ):
        await two_devices(one)
        await start(one)
        path = "/v1/sites/lobby/devices/screen-1"
        calls = (plane.http.delete(path, headers=ADMIN) for plane in (one, other) * 3)
        statuses = sorted(reply.status_code for reply in await asyncio.gather(*calls))
        assert statuses == [200] + [404] * 5
        (session,) = (await other.show("/v1/sites/lobby"))["sessions"]
        assert session["term"] == 2
        events = (await one.show("/v1/sites/lobby/events"))["events"]
        assert [e["kind"] for e in events].count("device_revoked") == 1


MISTAKES: tuple[tuple[str, int, str], ...] = (
    ("/v1/sites/nowhere", 404, "unknown_site"),
    ("/v1/sites/nowhere/drift", 404, "unknown_site"),
    ("/v1/sites/nowhere/events", 404, "unknown_site"),
    ("/v1/sites/nowhere/kpis", 404, "unknown_site"),
    ("/v1/sites/nowhere/flags", 404, "unknown_site"),
    ("/v1/sites/nowhere/sessions", 404, "unknown_site"),
    ("/v1/sites/lobby/devices/ghost/telemetry", 404, "unknown_device"),
    ("/v1/sites/-", 422, "bad_field"),
    ("/v1/sites/lobby/drift?seconds=0", 422, "bad_field"),
    ("/v1/sites/lobby/events?limit=1e9", 422, "bad_field"),
    ("/v1/sites/lobby/events?before=1780000000000", 422, "bad_field"),
    ("/v1/sites/lobby/events?before=99999999999999999999.1", 422, "bad_field"),
    ("/v1/sites/lobby/devices/screen-1/telemetry?before=x", 422, "bad_field"),
    ("/v1/sites/lobby/drift?points=20001", 422, "bad_field"),
    ("/v1/sites?limit=0", 422, "bad_field"),
    ("/v1/sites?after=-", 422, "bad_field"),
    ("/v1/sites/lobby/kpis?days=71", 422, "bad_field"),
    ("/v1/sites/lobby/sessions?limit=-1", 422, "bad_field"),
    ("/v1/sessions/nowhere-00c0ffee00", 404, "unknown_session"),
    ("/v1/sessions/lobby-00c0ffee00", 404, "unknown_session"),
    (f"/v1/sessions/{'x' * 99}", 422, "bad_field"),
)


async def test_mistakes_are_named(cloud: ControlPlane) -> None:
    await cloud.enrol("screen-1")
    for path, status, error in MISTAKES:
        assert code(await cloud.http.get(path, headers=OPERATOR)) == (status, error), path
