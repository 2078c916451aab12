"""What a device of a fleet relies on: signed commands, rotation, votes, flags, telemetry."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis

from services.control_plane.app import create_app
from services.control_plane.devices import serve
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import (
    ADMIN,
    ADMIN_TOKEN,
    OPERATOR,
    ControlPlane,
    Time,
    as_device,
    running_control_plane,
    start,
    two_devices,
)
from tests.support.gated_store import GATE, Gate, GatedStore
from tests.support.redis_server import RedisServer
from unisono.state import DocumentStore, RedisStore
from unisono.wire.seal import is_signed, split_secret

LAN = {"SYNC_LAN_ENABLED": True}
DRIFT = {"count": 10, "mean": -0.5, "mean_abs": 2.0, "max": 60.0, "within_50ms_ratio": 0.9}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        yield plane


async def post(cloud: ControlPlane, bearer: str, path: str, body: Any) -> Any:
    reply = await cloud.http.post(path, json=body, headers=as_device(bearer))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def status(cloud: ControlPlane, bearer: str, **fields: Any) -> Any:
    return await post(cloud, bearer, "/v1/sync/status/runtime", fields)


async def obey(cloud: ControlPlane, bearer: str, outcome: str = "done") -> None:
    for command in await cloud.commands(bearer):
        path = f"/v1/device/commands/{command['command_id']}/ack"
        await post(cloud, bearer, path, {"outcome": outcome})


async def shown(cloud: ControlPlane, session: dict[str, Any]) -> dict[str, Any]:
    return await cloud.show(f"/v1/sessions/{session['session_id']}")


def key_of(bearer: str) -> bytes:
    return split_secret(bearer.partition(".")[2])[1]


async def test_commands_are_signed_for_one_device(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    await start(cloud)
    (mine,), (other,) = await cloud.commands(one), await cloud.commands(two)
    assert (mine["device_id"], other["device_id"]) == ("screen-1", "screen-2")
    assert is_signed(mine, key_of(one))
    assert not is_signed(mine, key_of(two))
    assert not is_signed(mine | {"device_id": "screen-2"}, key_of(one))
    assert mine["session"] == other["session"]


async def test_a_session_goes_through_its_states(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud, start_delay_ms=5000)
    assert (session["state"], session["successors"]) == ("preparing", ["screen-2"])
    await obey(cloud, one)
    assert (await shown(cloud, session))["state"] == "preparing"
    await obey(cloud, two)
    assert (await shown(cloud, session))["state"] == "warmup"
    time.ms += 5000
    assert (await shown(cloud, session))["state"] == "playing"
    stopped = await cloud.operate(f"/v1/sessions/{session['session_id']}/stop")
    assert stopped["state"] == "stopping"
    await obey(cloud, one)
    assert (await shown(cloud, session))["state"] == "stopping"
    await obey(cloud, two)
    assert (await shown(cloud, session))["state"] == "ended"


async def test_a_session_that_nobody_can_play_fails(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    refused = await start(cloud)
    await obey(cloud, one, "failed")
    await obey(cloud, two, "failed")
    assert (await shown(cloud, refused))["state"] == "failed"
    silent = await start(cloud, start_delay_ms=0)
    for _ in range(8):
        time.ms += 5000
        await cloud.beat(one)
    assert (await shown(cloud, silent))["state"] == "failed"
    assert (await cloud.beat(one))["session_id"] == ""


async def test_followers_that_lose_the_beat_move_the_lead(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    three = await cloud.enrol("screen-3")
    await cloud.beat(three)
    session = await start(cloud, start_delay_ms=0, flags=LAN)
    held = {"session_id": session["session_id"], "term": 1}
    for bearer in (one, two, three):
        await obey(cloud, bearer)
    time.ms += 10_000
    await status(cloud, one, **held, role="master", mode="lan")
    lost = held | {"role": "follower", "mode": "holdover", "beat_lost": True}
    heard = held | {"role": "follower", "mode": "lan"}
    await status(cloud, three, **heard)
    hint = await status(cloud, two, **lost)
    assert hint["term"] == 1  # one of two is no majority, and the master still calls
    await status(cloud, three, **lost)
    time.ms += 300  # it is looked at soon after, once for all who say so
    hint = await status(cloud, two, **lost)
    assert hint["term"] == 2
    now = await shown(cloud, session)
    assert (now["term"], now["master_device_id"]) == (2, "screen-2")
    # The late master is told: its heartbeat of the old term brings it the new state.
    hint = await cloud.beat(one, **held, revision=session["revision"], mode="lan")
    assert (hint["term"], (await cloud.commands(one))[0]["term"]) == (2, 2)


async def test_wired_devices_with_a_healthy_clock_lead_first(cloud: ControlPlane) -> None:
    for name, wired, healthy in (
        ("a", False, True), ("b", True, False), ("d", True, True), ("c", True, True),
    ):  # fmt: skip
        bearer = await cloud.enrol(name)
        await cloud.beat(bearer, wired=wired, clock_healthy=healthy)
    session = await start(cloud)
    assert (session["master_device_id"], session["successors"]) == ("c", ["d", "b", "a"])


async def test_a_secret_is_rotated_without_a_gap(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    assert (await cloud.beat(one))["rotate"] is False
    reply = await cloud.http.post("/v1/sites/lobby/devices/screen-1/rotate", headers=ADMIN)
    assert reply.is_success, reply.text
    assert (await cloud.beat(one))["rotate"] is True
    fresh = (await post(cloud, one, "/v1/device/rotate", {}))["secret"]
    assert (await cloud.beat(one))["rotate"] is True  # the reply may have been lost
    again = (await post(cloud, one, "/v1/device/rotate", {}))["secret"]
    await start(cloud)
    renewed = f"screen-1.{again}"
    (command,) = await cloud.commands(renewed)
    assert is_signed(command, key_of(one))  # the key of commands stays
    assert (await cloud.beat(renewed))["rotate"] is False
    events = (await cloud.show("/v1/sites/lobby/events"))["events"]
    assert [e["kind"] for e in events].count("secret_rotated") == 1
    for old in (one, f"screen-1.{fresh}"):
        reply = await cloud.http.get("/v1/device/commands", headers=as_device(old))
        assert reply.status_code == 401


async def test_a_revoked_device_is_out(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    reply = await cloud.http.delete("/v1/sites/lobby/devices/screen-1", headers=ADMIN)
    assert reply.is_success, reply.text
    reply = await cloud.http.get("/v1/device/commands", headers=as_device(one))
    assert reply.status_code == 401
    (before, *_), now = await cloud.commands(two), await shown(cloud, session)
    assert (now["master_device_id"], now["term"]) == ("screen-2", 2)
    assert [m["device_id"] for m in before["session"]["members"]] == ["screen-2"]


async def test_flags_reach_devices_with_their_version(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    path = "/v1/sites/lobby/flags"
    site = {"values": {"SYNC_HEARTBEAT_S": 7}, "why": "quiet nights"}
    canary = {"values": {"SYNC_LAN_ENABLED": True}, "device_id": "screen-2", "why": "canary"}
    for body in (site, canary):
        reply = await cloud.http.patch(path, json=body, headers=OPERATOR)
        assert reply.status_code == 200, reply.text
    hint = await cloud.beat(one)
    assert (hint["flags_version"], hint["flags"]) == (2, {"SYNC_HEARTBEAT_S": "7"})
    assert (await cloud.beat(one, flags_version=2))["flags"] is None
    await start(cloud, flags={"SYNC_STATUS_S": 3})
    (first,), (second,) = await cloud.commands(one), await cloud.commands(two)
    common = {"SYNC_HEARTBEAT_S": "7", "SYNC_STATUS_S": "3"}
    assert first["session"]["flags"] == common
    assert second["session"]["flags"] == common | {"SYNC_LAN_ENABLED": "1"}
    assert first["session"]["flags_version"] == 2
    # A change while it plays is told at once, in the same term.
    back = {"values": {"SYNC_LAN_ENABLED": None}, "device_id": "screen-2", "why": "rolled back"}
    await cloud.http.patch(path, json=back, headers=OPERATOR)
    (told,) = await cloud.commands(two)
    assert (told["session"]["flags"], told["term"]) == (common, 1)


async def test_telemetry_is_taken_over_once(cloud: ControlPlane, time: Time) -> None:
    one = await cloud.enrol("screen-1")
    items: list[dict[str, Any]] = [
        {"seq": 1, "at_ms": time.ms - 60_000, "span_ms": 60_000, "drift_ms": DRIFT},
        {"seq": 2, "at_ms": time.ms, "event": "fallback", "detail": "bound_too_wide"},
    ]
    body = {"queue": "q1", "items": items}
    for _ in range(2):
        reply = await post(cloud, one, "/v1/device/telemetry", body)
        assert reply == {"queue": "q1", "delivered_seq": 2}
    # Along with a status, overlapping what was delivered; from a clock that is years off.
    more = {"seq": 3, "at_ms": 5, "event": "rotated the screen"}
    hint = await status(cloud, one, telemetry={"queue": "q1", "items": [items[1], more]})
    assert hint["delivered_seq"] == 3
    listed = await cloud.show("/v1/sites/lobby/devices/screen-1/telemetry")
    assert sorted(item["seq"] for item in listed["items"]) == [1, 2, 3]
    events = (await cloud.show("/v1/sites/lobby/events"))["events"]
    seen = [(e["kind"], e["device_id"]) for e in events if e["device_id"] and e["kind"] != "x"]
    assert seen.count(("fallback", "screen-1")) == 1
    assert seen.count(("device_event", "screen-1")) == 1
    (today, *_) = (await cloud.show("/v1/sites/lobby/kpis?days=1"))["days"]
    assert today["fallbacks"] == 1
    figures = today["devices"]["screen-1"]
    assert (figures["samples"], figures["mean_abs_ms"], figures["max_ms"]) == (10, 2.0, 60.0)
    assert figures["within_50ms_ratio"] == 0.9


async def test_a_new_queue_begins_anew(cloud: ControlPlane, time: Time) -> None:
    one = await cloud.enrol("screen-1")
    item = {"seq": 1, "at_ms": time.ms, "event": "lan"}
    for queue in ("before", "after"):
        reply = await post(cloud, one, "/v1/device/telemetry", {"queue": queue, "items": [item]})
        assert reply["delivered_seq"] == 1
    listed = await cloud.show("/v1/sites/lobby/devices/screen-1/telemetry")
    assert {item["queue"] for item in listed["items"]} == {"before", "after"}


async def test_a_device_that_calls_without_pause_is_told_when_to_come_back(
    cloud: ControlPlane, time: Time
) -> None:
    one, two = await two_devices(cloud)
    replies = [
        await cloud.http.get("/v1/device/commands", headers=as_device(one))
        for _ in range(serve.WINDOW_CALLS + 1)
    ]
    assert replies[-1].status_code == 429
    assert replies[-1].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(replies[-1].headers["retry-after"]) <= serve.WINDOW_S
    assert {reply.status_code for reply in replies[:-2]} == {200}
    await cloud.commands(two)  # nobody else suffers
    time.ms += 1000 * int(replies[-1].headers["retry-after"])
    await cloud.commands(one)


async def test_a_device_call_is_two_round_trips(
    cloud: ControlPlane, redis_server: RedisServer
) -> None:
    one, _ = await two_devices(cloud)
    await start(cloud)

    def scripts() -> int:
        with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
            found: Any = client.info("commandstats")
        names = ("cmdstat_evalsha", "cmdstat_eval")
        return sum(found[name]["calls"] for name in names if name in found)

    await cloud.beat(one)
    await obey(cloud, one)
    for call in ("beat", "status", "poll"):
        before = scripts()
        if call == "beat":
            await cloud.beat(one, beacon_port=7777)  # which changes the site's document, too
        elif call == "status":
            await status(cloud, one, mode="lan", drift_ms=DRIFT)
        else:
            await cloud.commands(one)
        assert scripts() - before == 2, call


async def test_a_call_under_way_does_not_bring_a_revoked_device_back(
    cloud: ControlPlane, redis_url: str, time: Time
) -> None:
    one, _ = await two_devices(cloud)
    store = DocumentStore(GatedStore(RedisStore(redis_url)))
    app = create_app(ControlSettings(admin_token=ADMIN_TOKEN, redis_url=redis_url), store, time)
    gate = Gate()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://other.instance"
    ) as other:

        async def held_up() -> int:
            GATE.set(gate)
            headers = as_device(one)
            return (await other.get("/v1/device/commands", headers=headers)).status_code

        call = asyncio.create_task(held_up())
        await gate.waiting.wait()
        await cloud.http.delete("/v1/sites/lobby/devices/screen-1", headers=ADMIN)
        gate.opened.set()
        assert await call == 401
    view = await store.site_view("lobby")
    assert set(view.devices) == set(view.seen_ms) == {"screen-2"}
    await store.close()
