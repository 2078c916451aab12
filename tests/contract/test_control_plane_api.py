"""The control plane as its callers meet it: real uvicorn, real Redis-compatible server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.control_plane.app import create_app, open_store, wall_ms
from services.control_plane.devices.enrolment import seed_tokens
from services.control_plane.gate import roles
from services.control_plane.main import main
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import (
    ADMIN_TOKEN,
    FILM,
    OPERATOR,
    OPERATOR_TOKEN,
    ControlPlane,
    Time,
    as_device,
    obey,
    running_control_plane,
    start,
    two_devices,
)
from tests.support.redis_server import start_redis
from unisono.core.errors import UserError
from unisono.state import RedisStore
from unisono.state.store import Fields


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        yield plane


async def test_a_session_from_start_to_stop(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud, start_delay_ms=3000, flags={"SYNC_LAN_ENABLED": True})
    assert (session["state"], session["term"]) == ("preparing", 1)
    assert session["master_device_id"] == "screen-1"
    assert session["start_at_ms"] == time.ms + 3000
    assert "secret_hex" not in str(session)
    first, second = await cloud.commands(one), await cloud.commands(two)
    (command,), (other,) = first, second
    assert other["session"] == command["session"]
    spec = command["session"]
    assert command["kind"] == "SYNC_PREPARE"
    assert spec["start_at_ms"] == session["start_at_ms"]
    assert [m["beacon_port"] for m in spec["members"]] == [7610, 7620]
    assert spec["playlist"]["items"][0]["duration_ns"] == 60_000_000_000
    assert spec["flags"] == {"SYNC_LAN_ENABLED": "1"}
    assert len(bytes.fromhex(spec["secret_hex"])) == 32
    # At least once: it stays until it is acknowledged.
    assert await cloud.commands(one) == first
    assert await cloud.commands(one, after=command["seq"]) == []
    path = f"/v1/device/commands/{command['command_id']}/ack"
    for _ in range(2):
        reply = await cloud.http.post(path, json={"outcome": "done"}, headers=as_device(one))
        assert reply.json() == {"command_id": command["command_id"], "outcome": "done"}
    assert await cloud.commands(one) == []
    assert await cloud.commands(two) == second
    time.ms += 3000
    path = f"/v1/sessions/{session['session_id']}"
    assert (await cloud.show(path))["state"] == "playing"
    stopped = await cloud.operate(f"{path}/stop")
    assert (stopped["state"], stopped["ended_ms"]) == ("stopping", None)
    assert await cloud.operate(f"{path}/stop") == stopped
    assert await cloud.show(path) == stopped
    (stop,) = await cloud.commands(two)
    assert (stop["kind"], stop["session"]) == ("SYNC_STOP", None)
    assert stop["seq"] > command["seq"]
    time.ms += 1
    await obey(cloud, one, two)
    ended = await cloud.show(path)
    assert (ended["state"], ended["ended_ms"]) == ("ended", time.ms)
    assert ended["end_reason"] == "stopped by an operator"
    assert await cloud.operate(f"{path}/stop") == ended


async def test_heartbeats_and_status_say_what_to_do_and_are_shown(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    session = await start(cloud)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    more = {"player": "playing", "mode": "lan", "version": "0.1.0"}
    hint = await cloud.beat(one, beacon_port=7610, **more, **held)
    assert {name: hint[name] for name in held} == held
    assert hint["next_poll_s"] == 1.0
    body = {"session_id": session["session_id"], "term": 1, "role": "master", "mode": "lan"}
    body |= {"drift_ms": {"count": 3, "mean": -0.5, "p95": 2.0, "within_50ms_ratio": 1.0}}
    reply = await cloud.http.post("/v1/sync/status/runtime", json=body, headers=as_device(one))
    assert reply.json()["session_id"] == session["session_id"]
    site = await cloud.show("/v1/sites/lobby")
    shown = site["devices"][0]
    assert shown["device_id"] == "screen-1"
    assert shown["heartbeat"]["mode"] == "lan"
    assert shown["status"]["drift_ms"]["mean"] == -0.5
    assert [s["session_id"] for s in site["sessions"]] == [session["session_id"]]


async def test_a_status_tells_whether_the_lan_is_active(cloud: ControlPlane) -> None:
    one = as_device(await cloud.enrol("screen-1"))
    path = "/v1/sync/status/runtime"

    async def shown() -> Any:
        (device,) = (await cloud.show("/v1/sites/lobby"))["devices"]
        return device["status"]["lan"]

    assert (await cloud.http.post(path, json={}, headers=one)).status_code == 200
    assert await shown() is None  # an older device
    lan = {
        "active": True,
        "path": "udp-unicast",
        "beacons_received": 1200,
        "beacons_lost": 3,
        "bound_ms": 0.2,
        "rtt_ms": None,
        "lost_ratio_by_path": {"udp": 1.0, "udp-unicast": 0.0025},
    }
    assert (await cloud.http.post(path, json={"lan": lan}, headers=one)).status_code == 200
    assert await shown() == lan
    for change in (
        {"path": "x" * 33},
        {"beacons_lost": -1},
        {"bound_ms": -0.1},
        {"rtt_ms": 1e300},
        {"lost_ratio_by_path": {"udp": 1.5}},
        {"lost_ratio_by_path": {"x" * 33: 0.5}},
        {"lost_ratio_by_path": {str(n): 0.5 for n in range(9)}},
        {"colour": "red"},
    ):
        reply = await cloud.http.post(path, json={"lan": lan | change}, headers=one)
        assert reply.status_code == 422, change
        assert "lan" in reply.json()["error"]["message"], change
    nan = b'{"lan": {"active": true, "bound_ms": NaN}}'
    reply = await cloud.http.post(path, content=nan, headers=one)
    assert reply.status_code in (400, 422)
    assert await shown() == lan


async def test_a_device_that_lost_its_state_gets_the_session_again(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    session = await start(cloud)
    (command,) = await cloud.commands(one)
    path = f"/v1/device/commands/{command['command_id']}/ack"
    await cloud.http.post(path, json={"outcome": "done"}, headers=as_device(one))
    held = {"session_id": session["session_id"], "term": 1, "revision": command["seq"]}
    await cloud.beat(one, beacon_port=7610, **held)
    assert await cloud.commands(one) == []
    await cloud.beat(one, beacon_port=7610)
    (again,) = await cloud.commands(one)
    assert (again["command_id"], again["session"]) == (command["command_id"], command["session"])


async def test_a_device_in_a_session_that_is_over_is_told_to_stop(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    await cloud.beat(one, session_id="lobby-0000000000", term=3, revision=5)
    (command,) = await cloud.commands(one)
    assert (command["kind"], command["session_id"]) == ("SYNC_STOP", "lobby-0000000000")


async def test_of_a_device_only_the_last_ack_is_kept(cloud: ControlPlane, redis_url: str) -> None:
    one, _ = await two_devices(cloud)
    session = await start(cloud)
    acked = []
    for _ in range(3):
        (command,) = await cloud.commands(one)
        acked.append(f"/v1/device/commands/{command['command_id']}/ack")
        body = {"outcome": "done"}
        reply = await cloud.http.post(acked[-1], json=body, headers=as_device(one))
        assert reply.is_success
        await cloud.operate(f"/v1/sessions/{session['session_id']}/master")
    replies = [
        await cloud.http.post(path, json={"outcome": "done"}, headers=as_device(one))
        for path in acked
    ]
    assert [reply.status_code for reply in replies] == [404, 404, 200]
    store = RedisStore(redis_url)
    (kept,) = await store.read([Fields("unisono:{lobby}:acks")])
    await store.close()
    assert list(kept) == ["screen-1"]


async def test_two_instances_racing_give_one_result(redis_url: str, time: Time) -> None:
    async with (
        running_control_plane(redis_url, time) as one,
        running_control_plane(redis_url, time) as other,
    ):
        await two_devices(one)
        body = {"site": "lobby", "playlist": [FILM]}
        replies = await asyncio.gather(
            *(
                plane.http.post("/v1/sessions", json=body, headers=OPERATOR)
                for plane in (one, other) * 4
            )
        )
        statuses = sorted(reply.status_code for reply in replies)
        assert statuses == [201] + [409] * 7
        assert len((await other.show("/v1/sites/lobby"))["sessions"]) == 1


async def test_enrolment_is_once_only(cloud: ControlPlane, time: Time) -> None:
    tokens = (await cloud.administer("/v1/sites/lobby/enroll-tokens", {"count": 3, "ttl_s": 60}))[
        "tokens"
    ]

    async def enrol(token: str, **wish: str) -> httpx.Response:
        return await cloud.http.post("/v1/device/enroll", json={"token": token} | wish)

    tried = await asyncio.gather(*(enrol(tokens[0], device_id=f"x{n}") for n in range(4)))
    assert sorted(reply.status_code for reply in tried) == [201, 401, 401, 401]
    taken = next(reply.json()["device_id"] for reply in tried if reply.is_success)
    refused = await enrol(tokens[1], device_id=taken)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "device_exists")
    unnamed = (await enrol(tokens[1])).json()
    assert unnamed["device_id"].startswith("dev-")
    time.ms += 60_000
    assert (await enrol(tokens[2])).json()["error"]["code"] == "bad_token"
    assert (await enrol("lobby.invented")).status_code == 401
    assert (await enrol("nonsense")).status_code == 401


async def test_tokens_of_the_settings_are_one_time_across_restarts(redis_url: str) -> None:
    token = "lobby.0123456789abcdef"
    settings = ControlSettings(admin_token=ADMIN_TOKEN, redis_url=redis_url, enroll_tokens=token)
    store = open_store(settings)
    async with running_control_plane(redis_url) as cloud:
        await seed_tokens(settings, store, wall_ms())
        body = {"token": token}
        assert (await cloud.http.post("/v1/device/enroll", json=body)).status_code == 201
        await seed_tokens(settings, store, wall_ms())
        assert (await cloud.http.post("/v1/device/enroll", json=body)).status_code == 401
    await store.close()


STRANGERS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Basic abc"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer nodots"},
    {"Authorization": "Bearer ghost.lobby.secret"},
    {"Authorization": "Bearer screen-1.elsewhere.secret"},
    {"Authorization": "Bearer screen 1.lobby.secret"},
    {"Authorization": f"Bearer {OPERATOR_TOKEN}"},
)


async def test_devices_must_show_their_secret(cloud: ControlPlane) -> None:
    await cloud.enrol("screen-1")
    beat = {"address": "10.0.0.1", "beacon_port": 1, "probe_port": 2}
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/v1/device/heartbeat", beat),
        ("POST", "/v1/sync/status/runtime", {}),
        ("GET", "/v1/device/commands", {}),
        ("POST", "/v1/device/commands/x/ack", {"outcome": "done"}),
        ("POST", "/v1/device/telemetry", {"queue": "q", "items": []}),
        ("POST", "/v1/device/rotate", {}),
    )
    for method, path, body in calls:
        for header in STRANGERS:
            reply = await cloud.http.request(method, path, headers=header, json=body)
            assert reply.status_code == 401, (path, header)
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.json()["error"]["code"] in {"bad_credentials", "no_credentials"}


async def test_a_secret_is_good_for_its_own_device_only(cloud: ControlPlane) -> None:
    one = await cloud.enrol("screen-1")
    await cloud.enrol("screen-2")
    await cloud.enrol("screen-1", site="hall")
    secret = one.partition(".")[2]
    stolen = as_device(f"screen-2.{secret}")
    assert (await cloud.http.get("/v1/device/commands", headers=stolen)).status_code == 401
    moved = as_device(f"screen-1.hall.{secret.partition('.')[2]}")
    assert (await cloud.http.get("/v1/device/commands", headers=moved)).status_code == 401
    assert (await cloud.http.get("/v1/device/commands", headers=as_device(one))).is_success


async def test_operators_must_show_their_token(cloud: ControlPlane) -> None:
    device = as_device(await cloud.enrol("screen-1"))
    for method, path in (
        ("GET", "/v1/sites/lobby"),
        ("POST", "/v1/sessions"),
        ("GET", "/v1/sessions/lobby-1"),
        ("POST", "/v1/sessions/lobby-1/stop"),
        ("POST", "/v1/sessions/lobby-1/master"),
    ):
        for header in ({}, device, {"Authorization": "Bearer wrong"}):
            reply = await cloud.http.request(method, path, headers=header, json={})
            assert reply.status_code == 401, path


Case = tuple[str, str, dict[str, Any] | bytes | None, int, str, str]
MISTAKES: tuple[Case, ...] = (
    ("GET", "/v1/sessions/lobby-nope", None, 404, "unknown_session", "no session lobby-nope"),
    ("GET", "/v1/sessions/nope", None, 404, "unknown_session", "no session nope"),
    ("POST", "/v1/sessions/lobby-nope/stop", {}, 404, "unknown_session", "lobby-nope"),
    ("POST", "/v1/sessions/lobby-nope/master", {}, 404, "unknown_session", "lobby-nope"),
    ("GET", "/v1/sites/nowhere", None, 404, "unknown_site", "no site nowhere"),
    ("GET", "/v1/sites/no%20where", None, 422, "bad_field", "site: "),
    ("GET", "/v2", None, 404, "not_found", "there is no /v2 here"),
    ("DELETE", "/v1/sessions", None, 405, "method_not_allowed", "does not take DELETE"),
    ("POST", "/v1/sessions", b"{", 400, "malformed_json", "the body is not JSON"),
    ("POST", "/v1/sessions", b"[]", 400, "malformed_json", "send an object"),
    ("POST", "/v1/sessions", b"\xff", 400, "malformed_json", "the body is not JSON"),
    ("POST", "/v1/sessions", {"site": "lobby"}, 422, "bad_field", "playlist: field required"),
    ("POST", "/v1/sessions", {"site": "a/b", "playlist": []}, 422, "bad_field", "site: "),
    ("POST", "/v1/sessions", {"loops": 3}, 422, "bad_field", ": "),
    ("POST", "/v1/sessions", {"site": "nowhere", "playlist": [FILM]}, 404, "unknown_site", ""),
    ("POST", "/v1/sessions", {"site": "lobby", "playlist": []}, 422, "bad_session", "empty"),
    (
        "POST",
        "/v1/sessions",
        {"site": "lobby", "playlist": [{"uri": "x", "duration_ms": 0}]},
        422,
        "bad_field",
        "playlist.0.duration_ms: input should be greater than 0",
    ),
    (
        "POST",
        "/v1/sessions",
        {"site": "lobby", "playlist": [FILM], "device_ids": ["ghost"]},
        404,
        "unknown_device",
        "ghost is not enrolled at this site",
    ),
    (
        "POST",
        "/v1/sessions",
        {"site": "lobby", "playlist": [FILM], "device_ids": ["silent"]},
        409,
        "device_silent",
        "silent has never called in",
    ),
    (
        "POST",
        "/v1/sessions",
        {"site": "lobby", "playlist": [FILM], "flags": {"SYNC_TYPO": 1}},
        422,
        "bad_field",
        "no flag SYNC_TYPO",
    ),
    (
        "POST",
        "/v1/sessions",
        {"site": "lobby", "playlist": [FILM], "flags": {"SYNC_LAN_BEACON_HZ": 500}},
        422,
        "bad_field",
        "SYNC_LAN_BEACON_HZ=500",
    ),
)


async def test_errors_are_one_clear_sentence(cloud: ControlPlane) -> None:
    await cloud.enrol("silent")
    headers = OPERATOR | {"Content-Type": "application/json"}
    for method, path, body, status, code, sentence in MISTAKES:
        given: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        reply = await cloud.http.request(method, path, headers=headers, **given)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (status, code), (path, body)
        assert sentence in error["message"], (path, body)
        assert set(error) == {"code", "message"}
        assert "\n" not in error["message"]


async def test_wrong_fields_of_devices_are_named(cloud: ControlPlane) -> None:
    one = as_device(await cloud.enrol("screen-1"))
    good = {"address": "10.0.0.1", "beacon_port": 1, "probe_port": 2}
    for change, field in (
        ({"address": "screen.local"}, "address"),
        ({"beacon_port": 0}, "beacon_port"),
        ({"term": -1}, "term"),
        ({"revision": 2**60}, "revision"),
        ({"interval_s": 1e9}, "interval_s"),
        ({"colour": "red"}, "colour"),
    ):
        body = good | change
        reply = await cloud.http.post("/v1/device/heartbeat", json=body, headers=one)
        assert reply.status_code == 422
        assert field in reply.json()["error"]["message"]
    path = "/v1/device/commands/nope/ack"
    reply = await cloud.http.post(path, json={"outcome": "done"}, headers=one)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_command")
    reply = await cloud.http.post(path, json={"outcome": "maybe"}, headers=one)
    assert reply.json()["error"]["message"].startswith("outcome: ")


async def test_bodies_are_limited_in_size(cloud: ControlPlane) -> None:
    headers = {"Content-Type": "application/json"}
    large = b" " * 300_000

    async def dripped() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 50_000):
            yield large[at : at + 50_000]

    for content in (large, dripped()):
        reply = await cloud.http.post("/v1/device/enroll", content=content, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


async def test_requests_are_counted_by_site_route_and_status(cloud: ControlPlane) -> None:
    one, _ = await two_devices(cloud)
    await cloud.commands(one)
    await cloud.http.get("/v1/device/commands", headers=as_device("screen-1.lobby.wrong"))
    await cloud.http.get("/nowhere")
    lines = (await cloud.http.get("/metrics")).text.splitlines()
    name = "unisono_control_requests_total"
    assert name + '{site="lobby",route="heartbeat",status="200"} 2' in lines
    assert name + '{site="lobby",route="commands",status="200"} 1' in lines
    assert name + '{site="-",route="commands",status="401"} 1' in lines
    assert name + '{site="-",route="unknown",status="404"} 1' in lines
    assert 'unisono_control_devices{site="lobby"} 2' in lines
    assert 'unisono_control_devices_seen{site="lobby"} 2' in lines
    assert 'unisono_control_sessions{site="lobby",state="playing"} 0' in lines


async def test_the_api_describes_itself(cloud: ControlPlane) -> None:
    described = (await cloud.http.get("/openapi.json")).json()
    assert set(described["paths"]) == {rule.path for rule in roles.TABLE}
    assert (await cloud.http.get("/healthz")).json()["status"] == "ok"


async def test_while_redis_is_away_calls_are_told_to_come_back() -> None:
    with start_redis() as server:
        async with running_control_plane(server.url) as cloud:
            one = await cloud.enrol("screen-1")
            await cloud.beat(one)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                for reply in (
                    await cloud.http.get("/v1/device/commands", headers=as_device(one)),
                    await cloud.http.get("/v1/sites/lobby", headers=OPERATOR),
                    await cloud.http.get("/healthz"),
                ):
                    assert reply.status_code == 503
                    assert reply.headers["retry-after"] == "2"
                    assert reply.json()["error"]["code"] == "store_unavailable"
            finally:
                os.kill(server.pid, signal.SIGCONT)
            async with asyncio.timeout(10):
                while (await cloud.http.get("/healthz")).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await cloud.beat(one)


def test_help_says_where_a_password_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "UNISONO_CONTROL_REDIS_URL=" in "".join(capsys.readouterr().out.split())


def test_an_app_needs_a_secret_for_administrators() -> None:
    for token in ("", "short"):
        with pytest.raises(UserError, match="UNISONO_CONTROL_ADMIN_TOKEN"):
            create_app(ControlSettings(admin_token=token))
    fine = ControlSettings(admin_token=ADMIN_TOKEN)
    for unfit in (replace(fine, operator_token="short"), replace(fine, metrics_token="short")):
        with pytest.raises(UserError, match=r"(OPERATOR|METRICS)_TOKEN is too short"):
            create_app(unfit)
    with pytest.raises(UserError, match=r"SITE\.RANDOM"):
        create_app(ControlSettings(admin_token=ADMIN_TOKEN, enroll_tokens="short"))
