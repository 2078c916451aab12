"""A real control plane for tests: uvicorn on a free port of loopback, over any store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from services.control_plane.app import create_app, wall_ms
from services.control_plane.main import Server, listen
from services.control_plane.settings import ControlSettings
from unisono.state import DocumentStore, RedisStore

OPERATOR_TOKEN = "operators-only-0123456789"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
ADMIN_TOKEN = "administrators-only-0123456789"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
FILM = {"uri": "film.mp4", "duration_ms": 60_000}


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane and a client of it; helpers do what operators and devices do."""

    url: str
    http: httpx.AsyncClient

    async def enrol(self, device_id: str, site: str = "lobby") -> str:
        """Enrol a device: ``DEVICE_ID.SECRET.KEY``, for `as_device` and for a bridge."""
        path = f"/v1/sites/{site}/enroll-tokens"
        made = await self.http.post(path, json={}, headers=ADMIN)
        body = {"token": made.json()["tokens"][0], "device_id": device_id}
        reply = await self.http.post("/v1/device/enroll", json=body)
        assert reply.status_code == 201, reply.text
        return f"{device_id}.{reply.json()['secret']}"

    async def beat(self, bearer: str, **fields: Any) -> dict[str, Any]:
        """A heartbeat of that device."""
        body = {"address": "127.0.0.1", "beacon_port": 7600, "probe_port": 7601} | fields
        reply = await self.http.post("/v1/device/heartbeat", json=body, headers=as_device(bearer))
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def commands(self, bearer: str, after: int = 0) -> list[dict[str, Any]]:
        """What waits for that device."""
        reply = await self.http.get(
            "/v1/device/commands", params={"after": after}, headers=as_device(bearer)
        )
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["commands"]
        return found

    async def operate(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A successful POST of an operator."""
        reply = await self.http.post(path, json=body or {}, headers=OPERATOR)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def administer(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A successful POST of an administrator."""
        reply = await self.http.post(path, json=body or {}, headers=ADMIN)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def show(self, path: str) -> dict[str, Any]:
        """A successful GET of an operator."""
        reply = await self.http.get(path, headers=OPERATOR)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found


class Time:
    """Server time, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_780_000_000_000

    def __call__(self) -> int:
        """UTC since the epoch, ms."""
        return self.ms


async def two_devices(cloud: ControlPlane) -> tuple[str, str]:
    """Two enrolled devices that have called in; their bearer tokens."""
    one, two = await cloud.enrol("screen-1"), await cloud.enrol("screen-2")
    await cloud.beat(one, beacon_port=7610)
    await cloud.beat(two, beacon_port=7620)
    return one, two


async def start(cloud: ControlPlane, **fields: Any) -> dict[str, Any]:
    """A session of all devices, with one film."""
    return await cloud.operate("/v1/sessions", {"site": "lobby", "playlist": [FILM]} | fields)


async def obey(cloud: ControlPlane, *bearers: str, outcome: str = "done") -> None:
    """Acknowledge what waits for these devices."""
    for bearer in bearers:
        for command in await cloud.commands(bearer):
            path = f"/v1/device/commands/{command['command_id']}/ack"
            body = {"outcome": outcome}
            reply = await cloud.http.post(path, json=body, headers=as_device(bearer))
            assert reply.status_code == 200, reply.text


def as_device(bearer: str) -> dict[str, str]:
    """The header of a device, by its id and what enrolment gave out; the key is never sent."""
    device_id, _, enrolled = bearer.partition(".")
    secret = ".".join(enrolled.split(".")[:2])
    return {"Authorization": f"Bearer {device_id}.{secret}"}


@contextlib.asynccontextmanager
async def running_control_plane(
    redis_url: str,
    now_ms: Callable[[], int] = wall_ms,
    port: int = 0,
    **settings: Any,
) -> AsyncIterator[ControlPlane]:
    """Serve until the block ends."""
    tokens = {"operator_token": OPERATOR_TOKEN, "admin_token": ADMIN_TOKEN}
    values = tokens | {"redis_url": redis_url} | settings
    store = DocumentStore(RedisStore(redis_url))
    app = create_app(ControlSettings(**values), store, now_ms)
    listening = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,  # as `main` serves it
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            yield ControlPlane(url, http)
    finally:
        server.should_exit = True
        await serving
        listening.close()
