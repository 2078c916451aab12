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
from collections.abc import AsyncIterator, Callable, Iterator
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
OPERATORS = 3
KINDS = 3  # of calls in a burst: for the lead, statuses, polls
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
class Burst:
    """All that devices and operators can ask, over and over; in the midst of it comes the kill.

    It comes as soon as a call of each kind has been answered, and while the others wait.
    """

    cloud: ControlPlane
    devices: list[Device]
    session_id: str
    kill: Callable[[], None]
    killed: bool = False
    answered: set[str] = field(default_factory=set)
    terms: list[int] = field(default_factory=list)  # of the answers about the lead
    lost: int = 0  # calls that were on their way

    async def run(self) -> "Burst":
        """Until the server that was killed is missed by everybody."""
        lead = f"/v1/sessions/{self.session_id}/master"
        status = {"session_id": self.session_id, "term": 1, "mode": "lan", "drift_ms": {"count": 0}}
        callers = [self._ask("POST", lead, OPERATOR, {}) for _ in range(OPERATORS)]
        for device in self.devices:
            headers = as_device(device.bearer)
            callers.append(self._ask("POST", "/v1/sync/status/runtime", headers, status))
            callers.append(self._ask("GET", "/v1/device/commands", headers))
        async with asyncio.timeout(30):
            await asyncio.gather(*callers)
        return self

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> None:
        while True:
            begun_before = not self.killed
            try:
                reply = await self.cloud.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                reply = None
            if reply is None or not reply.is_success:
                self.lost += begun_before and self.killed
                if self.killed:
                    return
                continue
            if "/v1/sessions" in path:
                self.terms.append(reply.json()["term"])
            self.answered.add(path)
            if len(self.answered) == KINDS and not self.killed:
                self.killed = True
                self.kill()


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
        async with show(cloud) as (devices, session_id):
            term = (await settled(cloud, devices, session_id))["term"]
            for _ in range(ROUNDS):
                burst = await Burst(cloud, devices, session_id, process.server.kill).run()
                await cloud.http.aclose()
                process.server.start()
                cloud = await process.ready()
                now = (await settled(cloud, devices, session_id))["term"]
                assert burst.terms  # else nothing was answered,
                assert burst.lost  # and else the kill met no call on its way
                # What was not answered may have happened or not; what was has.
                assert term < max(burst.terms) <= now <= max(burst.terms) + OPERATORS
                assert len(set(burst.terms)) == len(burst.terms)
                term = now
        await cloud.http.aclose()


async def test_killed_redis_with_an_append_only_file_loses_nothing_that_was_answered(
    durable: Durable, short_dir: Path
) -> None:
    process = Cloud(short_dir, durable.url)
    with killable(process.server):
        cloud = await process.ready()
        async with show(cloud) as (devices, session_id):
            term = (await settled(cloud, devices, session_id))["term"]
            for _ in range(ROUNDS):
                burst = await Burst(cloud, devices, session_id, durable.server.kill).run()
                durable.server.start()
                durable.await_ready()
                now = (await settled(cloud, devices, session_id))["term"]
                assert burst.terms
                assert burst.lost
                assert term < max(burst.terms) <= now <= max(burst.terms) + OPERATORS
                term = now
        await cloud.http.aclose()
