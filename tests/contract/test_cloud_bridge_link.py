"""The cloud-bridge with the real control plane, and with clouds that are absent, slow or mad."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cloud_bridge.bridge import Bridge
from services.cloud_bridge.client import MAX_REPLY_BYTES, CloudClient
from services.cloud_bridge.errors import CloudAway, CloudError, CloudNonsense, CloudRefused
from tests.support.control_plane import ControlPlane, running_control_plane, start
from tests.support.fake_cloud import FakeCloud, always, fake_cloud, http, ok
from tests.support.waiting import until
from unisono.bus import Bus, MemoryBus, topics
from unisono.bus.topics import CloudStats, DriftSample, LinkStats, Owner
from unisono.config import Flags, Settings
from unisono.core.commands import prepare
from unisono.core.errors import UserError
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Member, Role, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import OwnNs
from unisono.runtime import SystemClock
from unisono.state import LocalState, MemoryStore

FAST = Flags(heartbeat_s=0.2, status_s=0.2, commands_s=0.2)
BEAT_S = 0.05
SPEC = SessionSpec(
    session_id="lobby-1",
    term=2,
    master_device_id="screen-1",
    members=(Member("screen-1", "127.0.0.1", 1, 2), Member("screen-2", "127.0.0.1", 3, 4)),
    playlist=Playlist((MediaItem("film.mp4", 60_000_000_000),)),
    start_at_ms=1_780_000_000_000,
    secret_hex="00ff",
)


@dataclass
class Linked:
    """A bridge that runs, what it last said on the bus, and its local state."""

    bridge: Bridge
    store: MemoryStore
    heard: list[Desired]
    stats: list[CloudStats]

    @property
    def state(self) -> LocalState:
        return LocalState(self.store)

    def connected(self) -> bool:
        return self.bridge.stats().connected

    def count(self, name: str) -> int:
        return self.bridge.stats().requests.get(name, 0)


@contextlib.asynccontextmanager
async def linked(
    url: str, bearer: str = "screen-1.lobby.none", store: MemoryStore | None = None
) -> AsyncIterator[Linked]:
    device_id, _, secret = bearer.partition(".")
    store = store or MemoryStore()
    settings = Settings(
        device_id=device_id, lan_interface="127.0.0.1", beacon_port=7610, probe_port=7611
    )
    client = CloudClient(url, device_id, secret, total_s=0.4)
    bus = MemoryBus()
    bridge = Bridge(
        settings,
        FAST,
        client=client,
        state=LocalState(store),
        publisher=bus.publisher(Owner.CLOUD_BRIDGE),
        clock=SystemClock(),
        boot_id="boot-1",
    )
    found = Linked(bridge, store, [], [])

    async def listen() -> None:
        async for _, message in bus.subscriber((topics.DESIRED, topics.CLOUD)):
            (found.heard if isinstance(message, Desired) else found.stats).append(message)

    async def beat() -> None:
        while True:
            await bridge.beat()
            await asyncio.sleep(BEAT_S)

    tasks = [asyncio.create_task(part) for part in (listen(), bridge.run(), beat())]
    try:
        yield found
        failed = [task.exception() for task in tasks if task.done()]
        assert failed == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        bus.close()


@pytest.fixture
async def cloud(redis_url: str) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url) as plane:
        yield plane


def term_of(link: Linked) -> int:
    desired = link.bridge.desired
    return desired.session.term if desired and desired.session else 0


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
            link.bridge.hear(
                DriftSample(
                    session_id=session["session_id"],
                    term=1,
                    role=Role.MASTER,
                    at_own_ns=OwnNs(1),
                    mode=Mode.LAN,
                    player_state=PlayerState.PLAYING,
                    drift_ns=drift_ns,
                    phase_ns=0,
                    bound_ns=0,
                    speed=1.0,
                    seeks=2,
                )
            )
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


def nobody_listens() -> str:
    """An address of loopback where connections are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def hang(_method: str, _path: str, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http("200 OK", b"x" * (MAX_REPLY_BYTES + 1)))


HOSTILE: tuple[tuple[str, Any], ...] = (
    ("nonsense", always(http("200 OK", b"<html>welcome to the hotel Wi-Fi</html>"))),
    ("nonsense", always(http("200 OK", b"\xff\xfe\x00"))),
    ("nonsense", always(ok([1, 2, 3]))),
    ("nonsense", always(ok({"server_time_ms": "noon", "commands": 7}))),
    ("nonsense", always(ok({"server_time_ms": None, "commands": [None]}))),
    ("nonsense", flood),
    ("302", always(http("302 Found", b"", "Location: http://127.0.0.1:1/login"))),
    ("500", always(http("500 Internal Server Error", b"Traceback (most recent call last)"))),
    ("429", always(http("429 Too Many Requests", b"{}", "Retry-After: soon"))),
    ("401", always(http("401 Unauthorized", b'{"error": {"message": "wrong secret"}}'))),
    ("404", always(http("404 Not Found", b'{"error": []}'))),
    ("timeout", hang),
    ("timeout", drip),
    ("away", always(b"")),
    ("away", always(b"SSH-2.0-OpenSSH_9.2\r\n")),
)


async def test_whatever_the_cloud_does_the_session_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        links: list[tuple[str, FakeCloud, Linked]] = []
        for label, answer in HOSTILE:
            store = MemoryStore()
            await LocalState(store).put_desired(Desired(70, SPEC))
            cloud = await stack.enter_async_context(fake_cloud(answer))
            link = await stack.enter_async_context(linked(cloud.url, store=store))
            links.append((label, cloud, link))
        for label, _, link in links:
            for call in ("heartbeat", "status", "commands"):
                await until(partial(link.count, f"{call} {label}"))
            assert link.bridge.desired == Desired(70, SPEC)
            assert link.heard[-1] == Desired(70, SPEC)
            assert not link.bridge.stats().connected
        # A good cloud is believed again.
        hint = {"server_time_ms": 1, "session_id": "lobby-1", "term": 2, "revision": 70}
        good = always(ok(hint | {"commands": []}))
        for _, cloud, _ in links:
            cloud.answer = good
        for label, _, link in links:
            if label != "401":
                await until(link.connected, 20)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_wrong_secret_is_said_once_and_tried_seldom(
    cloud: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    await cloud.enrol("screen-1")
    with caplog.at_level(logging.WARNING):
        async with linked(cloud.url, "screen-1.lobby.wrong") as link:
            calls = ("heartbeat 401", "status 401", "commands 401")
            await until(lambda: all(link.count(name) for name in calls))
            beats = len(link.stats)
            await until(lambda: len(link.stats) > beats + 10)
            assert [link.count(name) for name in calls] == [1, 1, 1]
    said = [record.getMessage() for record in caplog.records if "secret" in record.getMessage()]
    assert len(said) == 1
    assert "enrol screen-1 anew" in said[0]


def command(**changes: Any) -> dict[str, Any]:
    """A PREPARE as JSON, spoilt as asked."""
    body: dict[str, Any] = msgspec.to_builtins(prepare(SPEC, 80, 1))
    return body | changes


async def test_commands_that_make_no_sense_are_acknowledged_as_failed() -> None:
    spoilt = [
        command(command_id="a", kind="SYNC_DANCE"),
        command(command_id="b", session={"session_id": 5}),
        command(command_id="c", session=None),
        command(command_id="d", session=command()["session"] | {"playlist": {"items": []}}),
        command(command_id="e", session=command()["session"] | {"members": []}),
        command(command_id="f/../g", seq="now"),
        {"seq": 3},
        command(command_id="good", seq=79),
        command(command_id="old", seq=60, session=command()["session"] | {"term": 1}),
        command(command_id="fell", seq=99, session=command()["session"] | {"term": 1}),
    ]

    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        body = {"server_time_ms": 1, "commands": spoilt if path.endswith("/commands") else []}
        writer.write(ok(body))

    store = MemoryStore()
    await LocalState(store).put_desired(Desired(70, None))
    async with fake_cloud(answer) as cloud, linked(cloud.url, store=store) as link:
        await until(lambda: len(cloud.acks) >= len(spoilt) - 1)
        outcomes = {ack["path"].split("/")[4]: ack["outcome"] for ack in cloud.acks}
    expected = dict.fromkeys(("a", "b", "c", "d", "e", "f%2F..%2Fg", "fell"), "failed")
    assert outcomes == expected | {"good": "done", "old": "done"}
    assert link.bridge.desired == Desired(79, SPEC)


async def test_a_repeated_command_is_carried_out_once_across_restarts() -> None:
    store = MemoryStore()

    async def answer(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(ok({"server_time_ms": 1, "session_id": "x", "commands": [command()]}))

    async with fake_cloud(answer) as cloud:
        async with linked(cloud.url, store=store) as link:
            await until(lambda: len(cloud.acks) >= 2)
            assert link.bridge.stats().commands == {"SYNC_PREPARE done": 1}
        before = len(cloud.acks)
        async with linked(cloud.url, store=store) as link:
            await until(lambda: len(cloud.acks) > before)
            assert link.bridge.stats().commands == {}
            assert link.bridge.desired == Desired(80, SPEC)


@pytest.mark.parametrize(
    ("answer", "kind", "after_s"),
    [
        (http("503 Busy", b"", "Retry-After: 7"), CloudAway, 7.0),
        (http("503 Busy", b"", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"), CloudAway, None),
        (http("503 Busy", b"", "Retry-After: nan"), CloudAway, None),
        (http("401 No", b"", "Retry-After: 60"), CloudRefused, 60.0),
        (http("200 OK", b"{}"), CloudNonsense, None),
    ],
)
async def test_what_a_failed_call_says(
    answer: bytes, kind: type[CloudError], after_s: float | None
) -> None:
    async with fake_cloud(always(answer)) as cloud:
        client = CloudClient(cloud.url, "screen-1", "secret")
        with pytest.raises(kind) as caught:
            await client.heartbeat({})
        assert caught.value.retry_after_s == after_s
        await client.close()


@pytest.mark.parametrize("url", ["vercel", "ftp://x", "http://", "", "http://:80"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UserError, match="UNISONO_CONTROL_URL="):
        CloudClient(url, "screen-1", "secret")


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
