"""Flags of a site and of single devices: versions, who, when, why; and whom a change reaches."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.accounts import log_in, put_account
from tests.support.control_plane import (
    OPERATOR,
    ControlPlane,
    Time,
    as_device,
    obey,
    running_control_plane,
    start,
    two_devices,
)
from unisono.state import keys

PATH = "/v1/sites/lobby/flags"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        yield plane


async def change(cloud: ControlPlane, **values: Any) -> Any:
    body = {"values": values, "why": "a test"}
    reply = await cloud.http.patch(PATH, json=body, headers=OPERATOR)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_nothing_is_set_at_first(cloud: ControlPlane) -> None:
    await cloud.enrol("screen-1")
    assert await cloud.show(PATH) == {"version": 0, "site": {}, "devices": {}, "history": []}


async def test_each_change_has_a_version_a_time_a_name_and_a_reason(
    cloud: ControlPlane, redis_url: str, time: Time
) -> None:
    await two_devices(cloud)
    await change(cloud, SYNC_STATUS_S=3)
    await put_account(redis_url, "ana")
    time.ms += 1000
    async with log_in(cloud, "ana") as ana:
        values = {"SYNC_LAN_ENABLED": True, "SYNC_LAN_TRANSPORT": "udp,tcp"}
        body = {"values": values, "device_id": "screen-2", "why": "canary"}
        shown = (await ana.send("PATCH", PATH, body)).json()
    assert shown == await cloud.show(PATH)
    kept = {"SYNC_LAN_ENABLED": "1", "SYNC_LAN_TRANSPORT": "udp,tcp"}
    assert (shown["version"], shown["site"]) == (2, {"SYNC_STATUS_S": "3"})
    assert shown["devices"] == {"screen-2": kept}
    assert shown["history"] == [
        {
            "version": 2,
            "at_ms": time.ms,
            "who": "ana",
            "device_id": "screen-2",
            "values": kept,
            "why": "canary",
        },
        {
            "version": 1,
            "at_ms": time.ms - 1000,
            "who": "operator-token",
            "device_id": "",
            "values": {"SYNC_STATUS_S": "3"},
            "why": "a test",
        },
    ]
    by_device = [d["flags"] for d in (await cloud.show("/v1/sites/lobby"))["devices"]]
    assert by_device == [{"SYNC_STATUS_S": "3"}, kept | {"SYNC_STATUS_S": "3"}]


async def test_null_takes_a_flag_back(cloud: ControlPlane) -> None:
    await two_devices(cloud)
    await change(cloud, SYNC_STATUS_S=3, SYNC_HEARTBEAT_S=7)
    shown = await change(cloud, SYNC_STATUS_S=None)
    assert (shown["version"], shown["site"]) == (2, {"SYNC_HEARTBEAT_S": "7"})
    assert shown["history"][0]["values"] == {"SYNC_STATUS_S": None}
    # A change that changes nothing is none.
    assert (await change(cloud, SYNC_STATUS_S=None))["version"] == 2


async def test_a_switch_is_kept_as_1_or_0_in_whatever_words_it_was_given(
    cloud: ControlPlane,
) -> None:
    await two_devices(cloud)
    for said, kept in ((True, "1"), ("off", "0"), ("Yes", "1"), (0, "0"), ("true", "1")):
        shown = await change(cloud, SYNC_LAN_ENABLED=said)
        assert shown["site"] == {"SYNC_LAN_ENABLED": kept}, said
    session = await start(cloud, flags={"SYNC_LAN_ENABLED": "on"})
    assert session["flags"] == {"SYNC_LAN_ENABLED": "1"}


async def test_the_history_is_not_pushed_out_by_devices(cloud: ControlPlane, time: Time) -> None:
    one, _ = await two_devices(cloud)
    await change(cloud, SYNC_STATUS_S=3)
    for begin in range(0, keys.DEVICE_LOG.keep + 200, 200):
        time.ms += 1000
        items = [{"seq": begin + n + 1, "at_ms": time.ms, "event": "seek"} for n in range(200)]
        body = {"queue": "q", "items": items}
        reply = await cloud.http.post("/v1/device/telemetry", json=body, headers=as_device(one))
        assert reply.is_success
    assert [entry["version"] for entry in (await cloud.show(PATH))["history"]] == [1]
    found, page = [], await cloud.show("/v1/sites/lobby/events?limit=1000")
    while page["next"] is not None:
        found += page["events"]
        page = await cloud.show(f"/v1/sites/lobby/events?limit=1000&before={page['next']}")
    kinds = [event["kind"] for event in (*found, *page["events"])]
    assert kinds.count("flags_changed") == 1
    assert kinds.count("device_enrolled") == 2


async def test_a_change_reaches_those_whom_it_concerns_in_the_same_term(
    cloud: ControlPlane,
) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud, flags={"SYNC_STATUS_S": 3})
    await obey(cloud, one, two)
    await change(cloud, SYNC_LAN_ENABLED=True, SYNC_STATUS_S=9)
    for bearer in (one, two):
        (command,) = await cloud.commands(bearer)
        assert (command["term"], command["session"]["flags_version"]) == (1, 1)
        # What the session was asked for with wins.
        flags = {"SYNC_LAN_ENABLED": "1", "SYNC_STATUS_S": "3"}
        assert command["session"]["flags"] == flags
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert shown["revision"] > session["revision"]
    assert (shown["term"], shown["start_at_ms"]) == (1, session["start_at_ms"])
    assert shown["progress"]["done"] == 0
    # Something that changes nothing for anybody in the session is not told to it.
    await obey(cloud, one, two)
    await change(cloud, SYNC_STATUS_S=8)
    assert await cloud.commands(one) == []


async def test_changes_that_race_are_all_kept(redis_url: str, time: Time) -> None:
    async with (
        running_control_plane(redis_url, time) as one,
        running_control_plane(redis_url, time) as other,
    ):
        await two_devices(one)
        names = ("SYNC_STATUS_S", "SYNC_HEARTBEAT_S", "SYNC_COMMANDS_S", "SYNC_LAN_TIMEOUT_MS")
        await asyncio.gather(
            *(
                change(plane, **{name: 1000 + n})
                for n, (plane, name) in enumerate(zip((one, other) * 2, names, strict=True))
            )
        )
        shown = await one.show(PATH)
    assert (shown["version"], set(shown["site"])) == (4, set(names))
    assert [entry["version"] for entry in shown["history"]] == [4, 3, 2, 1]


MISTAKES: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"values": {"SYNC_TYPO": 1}, "why": "x"}, 422, "flags: there is no flag SYNC_TYPO"),
    ({"values": {"SYNC_LAN_BEACON_HZ": 500}, "why": "x"}, 422, "flags: SYNC_LAN_BEACON_HZ=500"),
    ({"values": {"SYNC_LAN_ENABLED": [1]}, "why": "x"}, 422, "values.SYNC_LAN_ENABLED"),
    ({"values": {"SYNC_STATUS_S": 3}}, 422, "why: field required"),
    ({"values": {"SYNC_STATUS_S": 3}, "why": ""}, 422, "why: "),
    ({"values": {}, "why": "x"}, 422, "values: "),
    (
        {"values": {"SYNC_STATUS_S": 3}, "why": "x", "device_id": "ghost"},
        404,
        "ghost is not enrolled at this site",
    ),
)


async def test_mistakes_are_named(cloud: ControlPlane) -> None:
    await cloud.enrol("screen-1")
    for body, status, sentence in MISTAKES:
        reply = await cloud.http.patch(PATH, json=body, headers=OPERATOR)
        assert reply.status_code == status, reply.text
        assert reply.json()["error"]["message"].startswith(sentence), reply.text
    assert (await cloud.show(PATH))["version"] == 0
