"""The cloud-bridge with the real control plane."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge_link import SPEC, drift_of, linked, nobody_listens, term_of
from tests.support.control_plane import OPERATOR, ControlPlane, running_control_plane, start
from tests.support.fake_cloud import KEY
from tests.support.waiting import until
from unisono.bus import Bus, topics
from unisono.bus.topics import LinkStats
from unisono.core.mode import Mode
from unisono.core.outbox import Outbox
from unisono.core.session import Desired, Member, Role
from unisono.state import LocalState, MemoryStore


@pytest.fixture
async def cloud(redis_url: str) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url) as plane:
        yield plane


async def test_what_the_cloud_asks_reaches_the_bus_and_the_local_state(
    cloud: ControlPlane,
) -> None:
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer) as link:
        await until(lambda: link.count("heartbeat 200") and link.heard)
        assert link.heard[-1].session is None
        flags = {"SYNC_LAN_ENABLED": True, "SYNC_COMMANDS_S": 0.2}
        session = await start(cloud, flags=flags)
        await until(lambda: link.heard[-1].session)
        desired = link.heard[-1]
        assert desired.session is not None
        assert desired.session.session_id == session["session_id"]
        assert desired.session.members == (Member("screen-1", "127.0.0.1", 7610, 7611),)
        assert desired.revision == session["revision"]
        await until(lambda: link.count("ack 200") == 1)
        assert await link.state.desired() == desired
        assert await cloud.commands(bearer) == []
        assert link.bridge.stats().commands == {"SYNC_PREPARE done": 1}
        await cloud.operate(f"/v1/sessions/{session['session_id']}/stop")
        await until(lambda: link.heard[-1].session is None)
        assert link.heard[-1].revision > desired.revision
        assert link.stats[-1].connected


async def test_drift_is_summed_up_for_the_cloud(cloud: ControlPlane) -> None:
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer) as link:
        await until(lambda: link.count("heartbeat 200"))
        session = await start(cloud)
        await until(lambda: term_of(link) == 1)
        link.bridge.hear_link(LinkStats(session["session_id"], 1, Role.MASTER, received=40))
        for drift_ns in (-1_000_000, 3_000_000, None):
            told = drift_of(session["session_id"], 1, role=Role.MASTER, drift_ns=drift_ns, seeks=2)
            link.bridge.hear(told)
        async with asyncio.timeout(10):
            while True:
                (device,) = (await cloud.show("/v1/sites/lobby"))["devices"]
                status = device["status"] or {}
                if status.get("drift_ms", {}).get("count") == 2:
                    break
                await asyncio.sleep(0.01)
        assert status["drift_ms"]["mean"] == 1.0
        assert status["drift_ms"]["mean_abs"] == 2.0
        assert status["drift_ms"]["within_50ms_ratio"] == 1.0
        assert (status["mode"], status["seeks"], status["role"]) == ("lan", 2, "master")
        assert status["lan"]["active"] is True
        assert status["lan"]["beacons_received"] == 40


async def test_the_heartbeat_says_how_often_it_comes_and_in_which_boot(
    cloud: ControlPlane,
) -> None:
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer) as link:

        async def beaten() -> dict[str, Any]:
            count = link.count("heartbeat 200")
            await until(lambda: link.count("heartbeat 200") > count + 1)
            (device,) = (await cloud.show("/v1/sites/lobby"))["devices"]
            found: dict[str, Any] = device["heartbeat"]
            return found

        heartbeat = await beaten()
        assert (heartbeat["interval_s"], heartbeat["boot_id"]) == (0.2, "boot-1")
        # The session's flags are laid over the process's own.
        await start(cloud, flags={"SYNC_HEARTBEAT_S": 0.3, "SYNC_COMMANDS_S": 0.2})
        await until(lambda: term_of(link) == 1)
        assert (await beaten())["interval_s"] == 0.3


async def test_after_a_restart_the_session_holds_without_the_cloud() -> None:
    store = MemoryStore()
    await LocalState(store).put_desired(Desired(70, SPEC))
    async with linked(nobody_listens(), store=store) as link:
        await until(lambda: link.heard and link.count("heartbeat away"))
        assert link.heard[-1] == Desired(70, SPEC)
        assert not link.stats[-1].connected


async def test_a_device_that_lost_its_state_asks_for_the_session(cloud: ControlPlane) -> None:
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer) as link:
        await until(lambda: link.count("heartbeat 200"))
        session = await start(cloud)
        await until(lambda: link.count("ack 200") == 1)
    async with linked(cloud.url, bearer) as link:
        await until(lambda: term_of(link) == 1)
        assert link.bridge.desired is not None
        assert link.bridge.desired.revision == session["revision"]


async def test_without_local_state_the_show_goes_on_from_memory(cloud: ControlPlane) -> None:
    bearer = await cloud.enrol("screen-1")
    store = MemoryStore()
    store.available = False
    async with linked(cloud.url, bearer, store) as link:
        await until(lambda: link.count("heartbeat 200"))
        await start(cloud)
        await until(lambda: term_of(link) == 1 and link.count("ack 200"))
        store.available = True
        async with asyncio.timeout(10):
            while await link.state.desired() != link.bridge.desired:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_change_of_master_reaches_all_with_the_same_start(cloud: ControlPlane) -> None:
    one, two = await cloud.enrol("screen-1"), await cloud.enrol("screen-2")
    async with linked(cloud.url, one) as first, linked(cloud.url, two) as second:
        await until(lambda: first.count("heartbeat 200") and second.count("heartbeat 200"))
        session = await start(cloud)
        await until(lambda: term_of(first) == term_of(second) == 1)
        await cloud.operate(f"/v1/sessions/{session['session_id']}/master", {})
        await until(lambda: term_of(first) == term_of(second) == 2)
        assert first.bridge.desired == second.bridge.desired
        spec = first.bridge.desired.session if first.bridge.desired else None
        assert spec is not None
        assert spec.master_device_id == "screen-2"
        assert spec.start_at_ms == session["start_at_ms"]


async def test_a_wrong_secret_is_said_once_and_tried_seldom(
    cloud: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    await cloud.enrol("screen-1")
    with caplog.at_level(logging.WARNING):
        async with linked(cloud.url, f"screen-1.lobby.wrong.{KEY}") as link:
            calls = ("heartbeat 401", "status 401", "commands 401")
            await until(lambda: all(link.count(name) for name in calls))
            beats = len(link.stats)
            await until(lambda: len(link.stats) > beats + 10)
            assert [link.count(name) for name in calls] == [1, 1, 1]
    said = [record.getMessage() for record in caplog.records if "secret" in record.getMessage()]
    assert len(said) == 1
    assert "enrol screen-1 anew" in said[0]


async def test_what_a_device_tells_is_taken_over(cloud: ControlPlane) -> None:
    bearer, outbox = await cloud.enrol("screen-1"), Outbox("queue-1")
    async with linked(cloud.url, bearer, outbox=outbox) as link:
        await until(lambda: link.count("heartbeat 200"))
        session = await start(cloud, flags={"SYNC_STATUS_S": 0.2})
        await until(lambda: term_of(link) == 1)
        for mode in (Mode.CLOUD, Mode.LAN, Mode.HOLDOVER, Mode.CLOUD):
            link.bridge.hear(drift_of(session["session_id"], 1, mode=mode, role=Role.MASTER))
        assert len(outbox) == 4
        await until(lambda: len(outbox) == 0)
        told = (await cloud.show("/v1/sites/lobby/devices/screen-1/telemetry"))["items"]
        assert {item["event"] for item in told} == {"role", "lan", "holdover", "fallback"}
        assert {item["session_id"] for item in told} == {session["session_id"]}


async def test_flags_of_the_site_reach_a_device_without_a_session(cloud: ControlPlane) -> None:
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer) as link:
        await until(lambda: link.count("heartbeat 200"))
        asked = {"values": {"SYNC_HEARTBEAT_S": 0.3}, "device_id": None, "why": "test"}
        reply = await cloud.http.patch("/v1/sites/lobby/flags", json=asked, headers=OPERATOR)
        assert reply.is_success, reply.text

        async def runs() -> tuple[int, float]:
            (device,) = (await cloud.show("/v1/sites/lobby"))["devices"]
            heartbeat = device["heartbeat"]
            return heartbeat["flags_version"], heartbeat["interval_s"]

        async with asyncio.timeout(10):
            while await runs() != (reply.json()["version"], 0.3):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_secret_is_changed_by_an_administrator(cloud: ControlPlane) -> None:
    store = MemoryStore()
    bearer = await cloud.enrol("screen-1")
    async with linked(cloud.url, bearer, store) as link:
        await until(lambda: link.count("heartbeat 200"))
        await cloud.administer("/v1/sites/lobby/devices/screen-1/rotate")
        await until(lambda: link.count("rotate 200") == 1)
        count = link.count("heartbeat 200")
        await until(lambda: link.count("heartbeat 200") > count and link.connected())
        assert link.identity.secret != bearer.partition(".")[2]
        await start(cloud)
        await until(lambda: term_of(link) == 1)  # the command was signed for the new secret
    async with linked(cloud.url, bearer, store) as link:
        await until(link.connected)
    async with linked(cloud.url, bearer) as link:  # the old one is good no more
        await until(lambda: link.count("heartbeat 401"))


async def test_the_process_comes_back_with_the_session(
    cloud: ControlPlane, redis_url: str, short_dir: Path
) -> None:
    bearer = await cloud.enrol("screen-1")
    settings = {
        "DEVICE_ID": "screen-1",
        "DEVICE_SECRET": bearer.partition(".")[2],
        "CONTROL_URL": cloud.url,
        "RUN_DIR": str(short_dir),
        "REDIS_URL": redis_url.replace("db=0", "db=1"),
        "LAN_INTERFACE": "127.0.0.1",
    }
    environment = {**os.environ, **{f"UNISONO_{name}": text for name, text in settings.items()}}
    environment |= {"SYNC_COMMANDS_S": "0.2", "SYNC_HEARTBEAT_S": "0.2"}
    program = Path(sys.executable).parent / "unisono-cloud-bridge"
    bus = Bus(short_dir / "bus")
    subscriber = bus.subscriber((topics.DESIRED,))

    async def await_desired(fits: Callable[[Desired], bool]) -> Desired:
        async with asyncio.timeout(20):
            while True:
                _, desired = await subscriber.receive()
                if fits(desired):
                    found: Desired = desired
                    return found

    async def launch(**changes: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(program, env=environment | changes)

    process = await launch()
    try:
        await await_desired(lambda desired: desired.session is None)
        session = await start(cloud)
        first = await await_desired(lambda desired: desired.session is not None)
        assert first.revision == session["revision"]
        async with asyncio.timeout(20):
            while await cloud.commands(bearer):  # noqa: ASYNC110  (it acknowledges what it kept)
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process = await launch(UNISONO_CONTROL_URL=nobody_listens())
        await subscriber.newest()  # what the first one said last
        assert await await_desired(lambda desired: True) == first
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        bus.close()
