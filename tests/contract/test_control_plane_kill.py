"""kill -9 of the control plane, and of its Redis, with calls in flight: nothing that was
answered is lost, the term is right, and the devices go on.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from services.cli.demo.embedded import server_command
from tests.support.control_plane import (
    ADMIN_TOKEN,
    OPERATOR,
    OPERATOR_TOKEN,
    ControlPlane,
    as_device,
    start,
)
from tests.support.waiting import until, until_sync

DEVICES = 6
ROUNDS = 2
IN_FLIGHT_S = 0.02  # of the bursts below, some calls are answered by then and some are not
LISTENING = re.compile(r"listening on (http://\S+)")


@dataclass
class Killable:
    """A server process that can be killed and started again."""

    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, env=os.environ | self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL: nothing is written any more, nothing said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def killable(server: Killable) -> Iterator[Killable]:
    """Started, and gone with the block."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Durable:
    """Redis that has each write on disk before it answers."""

    def __init__(self, room: Path) -> None:
        self._socket = room / "redis.sock"
        command = [*server_command(self._socket, 1, room), "--appendfsync", "always"]
        self.server = Killable(command, room / "redis.log")
        self.url = f"unix://{self._socket}?db=0"

    def await_ready(self) -> None:
        """Return when it has read its log and answers."""
        with redis.Redis.from_url(self.url) as client:
            until_sync(lambda: _answers(client))


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


class Cloud:
    """The control plane as a process of its own."""

    def __init__(self, room: Path, redis_url: str) -> None:
        values = {"ADMIN_TOKEN": ADMIN_TOKEN, "OPERATOR_TOKEN": OPERATOR_TOKEN, "PORT": "0"}
        values["REDIS_URL"] = redis_url
        environment = {f"UNISONO_CONTROL_{name}": value for name, value in values.items()}
        program = str(Path(sys.executable).with_name("unisono-control-plane"))
        self.server = Killable([program], room / "cloud.log", environment)

    async def ready(self) -> ControlPlane:
        """Its address, once it listens, with a client."""
        log = self.server.log
        await until(lambda: LISTENING.search(log.read_text("utf-8")))
        found = LISTENING.search(log.read_text("utf-8"))
        assert found is not None
        return ControlPlane(found[1], httpx.AsyncClient(base_url=found[1], trust_env=False))


@dataclass
class Device:
    """A device as the cloud sees it: what it holds, what it has obeyed, what was answered."""

    bearer: str
    number: int
    session_id: str = ""
    term: int = 0
    revision: int = 0
    obeyed: list[str] = field(default_factory=list)
    acked: set[str] = field(default_factory=set)

    async def turn(self, cloud: ControlPlane) -> dict[str, Any]:
        """Heartbeat, poll, obey, acknowledge; the heartbeat's reply."""
        said = await self.beat(cloud)
        for command in await cloud.commands(self.bearer, self.revision):
            assert command["command_id"] not in self.acked
            if command["seq"] <= self.revision:
                continue
            assert command["term"] >= self.term or command["session_id"] != self.session_id
            self.session_id, self.term = command["session_id"], command["term"]
            self.revision = command["seq"]
            self.obeyed.append(command["command_id"])
            await self.ack(cloud, command["command_id"])
        return said

    async def beat(self, cloud: ControlPlane) -> dict[str, Any]:
        """A heartbeat; its reply."""
        return await cloud.beat(
            self.bearer, beacon_port=7600 + self.number, session_id=self.session_id,
            term=self.term, revision=self.revision, mode="lan", interval_s=5.0,
        )  # fmt: skip

    async def ack(self, cloud: ControlPlane, command_id: str) -> None:
        """Acknowledge; what was superseded is not missed."""
        path = f"/v1/device/commands/{command_id}/ack"
        body = {"outcome": "done"}
        reply = await cloud.http.post(path, json=body, headers=as_device(self.bearer))
        assert reply.status_code in (200, 404), reply.text
        self.acked.add(command_id)


@dataclass
class Answered:
    """What came of calls in flight: the answers, and how many never came."""

    replies: list[httpx.Response]
    lost: int

    def terms(self) -> list[int]:
        """The terms of the answers that are about a session."""
        return [r.json()["term"] for r in self.replies if "/v1/sessions" in r.request.url.path]


async def burst(cloud: ControlPlane, devices: list[Device], session_id: str) -> Answered:
    """All that devices and operators can ask, at once."""
    calls = [
        cloud.http.post(f"/v1/sessions/{session_id}/master", json={}, headers=OPERATOR)
        for _ in range(3)
    ]
    status = {"session_id": session_id, "term": 1, "mode": "lan", "drift_ms": {"count": 0}}
    path = "/v1/sync/status/runtime"
    for device in devices:
        headers = as_device(device.bearer)
        calls += [cloud.http.post(path, json=status, headers=headers) for _ in range(4)]
        calls.append(cloud.http.get("/v1/device/commands", headers=headers))
    found = await asyncio.gather(*calls, return_exceptions=True)
    replies = [reply for reply in found if isinstance(reply, httpx.Response)]
    for error in found:
        if isinstance(error, BaseException) and not isinstance(error, httpx.TransportError):
            raise error
    return Answered(
        [reply for reply in replies if reply.is_success],
        len(found) - sum(reply.is_success for reply in replies),
    )


async def settled(cloud: ControlPlane, devices: list[Device], session_id: str) -> dict[str, Any]:
    """Let the devices call until all hold what the cloud wants; the session then."""
    for _ in range(4):
        said = [await device.turn(cloud) for device in devices]
    shown = await cloud.show(f"/v1/sessions/{session_id}")
    for device, hint in zip(devices, said, strict=True):
        assert (device.session_id, device.term) == (session_id, shown["term"])
        assert (hint["session_id"], hint["term"]) == (session_id, shown["term"])
        assert device.revision == hint["revision"] == shown["revision"]
        assert len(device.obeyed) == len(set(device.obeyed))
    return shown


@pytest.fixture
def durable(short_dir: Path) -> Iterator[Durable]:
    """A Redis that can be killed."""
    made = Durable(short_dir)
    with killable(made.server):
        made.await_ready()
        yield made


@contextlib.asynccontextmanager
async def show(cloud: ControlPlane) -> AsyncIterator[tuple[list[Device], str]]:
    """Devices that play a session."""
    bearers = [await cloud.enrol(f"screen-{n}") for n in range(DEVICES)]
    devices = [Device(bearer, number) for number, bearer in enumerate(bearers)]
    for device in devices:
        await device.beat(cloud)
    session_id = (await start(cloud, start_delay_ms=0))["session_id"]
    yield devices, session_id


async def test_killed_control_plane_loses_nothing_that_it_answered(
    durable: Durable, short_dir: Path
) -> None:
    process = Cloud(short_dir, durable.url)
    with killable(process.server):
        cloud = await process.ready()
        lost = 0
        async with show(cloud) as (devices, session_id):
            term = (await settled(cloud, devices, session_id))["term"]
            for _ in range(ROUNDS):
                asking = asyncio.create_task(burst(cloud, devices, session_id))
                await asyncio.sleep(IN_FLIGHT_S)
                process.server.kill()
                answered = await asking
                await cloud.http.aclose()
                process.server.start()
                cloud = await process.ready()
                lost += answered.lost
                now = (await settled(cloud, devices, session_id))["term"]
                # What was not answered may have happened or not; what was has.
                assert max([term, *answered.terms()]) <= now <= term + 3
                assert len(set(answered.terms())) == len(answered.terms())
                term = now
            assert lost  # else the kill met no call in flight
        await cloud.http.aclose()


async def test_killed_redis_with_an_append_only_file_loses_nothing_that_was_answered(
    durable: Durable, short_dir: Path
) -> None:
    process = Cloud(short_dir, durable.url)
    with killable(process.server):
        cloud = await process.ready()
        lost = 0
        async with show(cloud) as (devices, session_id):
            term = (await settled(cloud, devices, session_id))["term"]
            for _ in range(ROUNDS):
                asking = asyncio.create_task(burst(cloud, devices, session_id))
                await asyncio.sleep(IN_FLIGHT_S)
                durable.server.kill()
                answered = await asking
                durable.server.start()
                durable.await_ready()
                lost += answered.lost
                now = (await settled(cloud, devices, session_id))["term"]
                assert max([term, *answered.terms()]) <= now <= term + 3
                term = now
            assert lost
        await cloud.http.aclose()
