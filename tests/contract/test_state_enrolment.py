"""Devices that race for a token, or for an id, over every kind of store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from services.control_plane.app import create_app
from services.control_plane.gate.tokens import digest_of
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import ADMIN_TOKEN, as_device
from tests.support.gated_store import GATE, Gate, GatedStore
from unisono.state import DocumentStore, Store
from unisono.state.records import EnrolToken

NOW_MS = 1_780_000_000_000


@dataclass
class Door:
    """Where devices enrol, over HTTP."""

    http: httpx.AsyncClient
    store: DocumentStore

    async def enrol(self, token: str, device_id: str) -> httpx.Response:
        """A device's call."""
        body = {"token": token, "device_id": device_id}
        return await self.http.post("/v1/device/enroll", json=body)

    async def overtaken(self, slow: tuple[str, str], fast: tuple[str, str]) -> httpx.Response:
        """The answer to a call that another one overtakes between what it reads and writes."""
        gate = Gate()

        async def held() -> httpx.Response:
            GATE.set(gate)
            return await self.enrol(*slow)

        task = asyncio.create_task(held())
        await gate.waiting.wait()
        assert (await self.enrol(*fast)).status_code == 201
        gate.opened.set()
        return await task

    async def lets_in(self, reply: httpx.Response) -> bool:
        """Whether the secret of that answer is good."""
        said = reply.json()
        headers = as_device(f"{said['device_id']}.{said['secret']}")
        found = await self.http.get("/v1/device/commands", headers=headers)
        return found.status_code == 200


@pytest.fixture
async def door(raw: Store) -> AsyncIterator[Door]:
    store = DocumentStore(GatedStore(raw), "test")
    values = {"admin_token": ADMIN_TOKEN}
    app = create_app(ControlSettings(**values), store, lambda: NOW_MS)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as http:
        yield Door(http, store)


@pytest.mark.parametrize("expires_ms", [None, NOW_MS + 1])
async def test_a_token_enrols_one_of_two_devices(door: Door, expires_ms: int | None) -> None:
    one, two = "lobby.0123456789abcdef", "lobby.fedcba9876543210"
    token = EnrolToken(expires_ms)
    tokens = {digest_of(one): token, digest_of(two): token}
    await door.store.add_tokens("lobby", tokens, now_ms=NOW_MS)
    assert await door.store.sites() == ["lobby"]
    late = await door.overtaken((one, "a"), (one, "b"))
    assert (late.status_code, late.json()["error"]["code"]) == (401, "bad_token")
    assert set((await door.store.site_view("lobby")).devices) == {"b"}
    # A spent token that would expire is forgotten; one of the settings has to be remembered.
    spent = EnrolToken(None, "b") if expires_ms is None else None
    assert (await door.store.token("lobby", digest_of(one))).value == spent
    assert (await door.enrol(one, "c")).status_code == 401
    # The id is taken, and the second token is not spent by the attempt.
    taken = await door.enrol(two, "b")
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "device_exists")
    assert (await door.store.token("lobby", digest_of(two))).value == token
    assert await door.lets_in(await door.enrol(two, "c"))
    assert set((await door.store.site_view("lobby")).devices) == {"b", "c"}


async def test_an_id_is_given_to_one_of_two_devices(door: Door) -> None:
    one, two = "lobby.0123456789abcdef", "lobby.fedcba9876543210"
    tokens = dict.fromkeys((digest_of(one), digest_of(two)), EnrolToken(NOW_MS + 1))
    await door.store.add_tokens("lobby", tokens, now_ms=NOW_MS)
    late = await door.overtaken((one, "a"), (two, "a"))
    assert (late.status_code, late.json()["error"]["code"]) == (409, "device_exists")
    assert await door.lets_in(await door.enrol(one, "b"))  # it was not spent
