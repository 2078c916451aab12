"""Who leads, as devices meet it: real uvicorn, real Redis-compatible server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.control_plane import (
    ControlPlane,
    Time,
    as_device,
    obey,
    running_control_plane,
    start,
    two_devices,
)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        yield plane


async def test_an_operator_moves_the_lead(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    path = f"/v1/sessions/{session['session_id']}/master"
    moved = await cloud.operate(path, {"device_id": "screen-2"})
    assert (moved["term"], moved["master_device_id"]) == (2, "screen-2")
    assert moved["start_at_ms"] == session["start_at_ms"]
    (first,), (second,) = await cloud.commands(one), await cloud.commands(two)
    assert first["session"] == second["session"]
    assert (first["term"], first["seq"]) == (2, second["seq"])
    assert await cloud.operate(path, {"device_id": "screen-2"}) == moved
    assert (await cloud.operate(path))["master_device_id"] == "screen-1"


async def test_a_silent_master_loses_the_lead_when_others_call(
    cloud: ControlPlane, time: Time
) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    await obey(cloud, one, two)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    time.ms += 15_000
    assert (await cloud.beat(two, beacon_port=7620, **held))["term"] == 1
    time.ms += 1
    status = {"session_id": session["session_id"], "term": 1}
    hints = await asyncio.gather(
        *(
            cloud.http.post("/v1/sync/status/runtime", json=status, headers=as_device(two))
            for _ in range(5)
        )
    )
    assert [hint.json()["term"] for hint in hints] == [2] * 5
    assert (await cloud.commands(two))[0]["session"]["master_device_id"] == "screen-2"
    # The late master calls in its old term and gets the new state.
    hint = await cloud.beat(one, beacon_port=7610, **held)
    assert hint["term"] == 2
    (command,) = await cloud.commands(one)
    assert command["session"]["master_device_id"] == "screen-2"
    assert command["session"]["start_at_ms"] == session["start_at_ms"]
    metrics = (await cloud.http.get("/metrics")).text
    assert 'unisono_control_events_total{site="lobby",event="failover"} 1' in metrics
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert shown["term_reason"] == "screen-1 was silent"


async def play_status(
    cloud: ControlPlane, bearer: str, session: dict[str, Any], mode: str, *, lost: bool = False
) -> dict[str, Any]:
    body = {"session_id": session["session_id"], "term": session["term"], "mode": mode}
    body["beat_lost"] = lost
    reply = await cloud.http.post("/v1/sync/status/runtime", json=body, headers=as_device(bearer))
    found: dict[str, Any] = reply.json()
    return found


async def test_after_an_outage_of_the_cloud_the_lead_stays(cloud: ControlPlane, time: Time) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    await obey(cloud, one, two)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    time.ms += 20_000
    assert (await cloud.beat(two, beacon_port=7620, **held))["term"] == 1
    time.ms += 14_000
    assert (await play_status(cloud, two, session, "holdover"))["term"] == 1
    assert (await cloud.beat(one, beacon_port=7610, **held))["term"] == 1
    time.ms += 15_000
    assert (await cloud.beat(two, beacon_port=7620, **held))["term"] == 1
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert (shown["master_device_id"], shown["revision"]) == ("screen-1", session["revision"])


async def test_while_followers_hear_the_master_the_lead_stays(
    cloud: ControlPlane, time: Time
) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    await obey(cloud, one, two)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    for _ in range(8):
        time.ms += 5000
        assert (await cloud.beat(two, beacon_port=7620, mode="lan", **held))["term"] == 1
        time.ms += 1000
        assert (await play_status(cloud, two, session, "lan"))["term"] == 1
    await play_status(cloud, two, session, "holdover", lost=True)
    time.ms += 300  # then somebody looks
    assert (await play_status(cloud, two, session, "holdover", lost=True))["term"] == 2


async def test_the_lease_is_three_heartbeats_of_the_masters_own(
    cloud: ControlPlane, time: Time
) -> None:
    one, two = await two_devices(cloud)
    await cloud.beat(one, beacon_port=7610, interval_s=30.0)
    session = await start(cloud)
    await obey(cloud, one, two)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    for _ in range(9):
        time.ms += 10_000
        assert (await cloud.beat(two, beacon_port=7620, **held))["term"] == 1
    time.ms += 1
    assert (await cloud.beat(two, beacon_port=7620, **held))["term"] == 2


async def test_a_master_that_was_restarted_leads_a_new_term(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    await cloud.beat(one, beacon_port=7610, boot_id="first")
    session = await start(cloud)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    assert (await cloud.beat(one, beacon_port=7610, boot_id="first", **held))["term"] == 1
    assert (await cloud.beat(two, beacon_port=7620, boot_id="other", **held))["term"] == 1
    hint = await cloud.beat(one, beacon_port=7610, boot_id="second", **held)
    assert hint["term"] == 2
    (command,) = await cloud.commands(two)
    assert command["session"]["master_device_id"] == "screen-1"
    assert (await cloud.commands(one))[0]["seq"] == command["seq"]
    held |= {"term": 2, "revision": hint["revision"]}
    assert (await cloud.beat(one, beacon_port=7610, boot_id="second", **held))["term"] == 2
    shown = await cloud.show(f"/v1/sessions/{session['session_id']}")
    assert shown["term_reason"] == "screen-1 was restarted"
    metrics = (await cloud.http.get("/metrics")).text
    assert 'unisono_control_events_total{site="lobby",event="master_restarted"} 1' in metrics


async def test_a_moved_device_is_told_to_the_others(cloud: ControlPlane) -> None:
    one, two = await two_devices(cloud)
    session = await start(cloud)
    await obey(cloud, one, two)
    held = {"session_id": session["session_id"], "term": 1, "revision": session["revision"]}
    await cloud.beat(two, beacon_port=7699, **held)
    (command,) = await cloud.commands(one)
    assert [m["beacon_port"] for m in command["session"]["members"]] == [7610, 7699]
    assert command["term"] == 1
