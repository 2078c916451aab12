"""The cloud-bridge with clouds that are absent, slow or mad."""

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

import pytest

from services.cloud_bridge.client import MAX_REPLY_BYTES, CloudClient, paths_of
from services.cloud_bridge.errors import CloudAway, CloudError, CloudNonsense, CloudRefused
from services.cloud_bridge.identity import Identity
from tests.support.bridge_link import SPEC, Linked, linked
from tests.support.fake_cloud import KEY, FakeCloud, always, fake_cloud, http, ok
from tests.support.waiting import until
from unisono.config import Settings
from unisono.core.errors import UserError
from unisono.core.session import Desired
from unisono.state import LocalState, MemoryStore


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
    ("nonsense", always(http("200 OK", b"[" * 100_000))),
    ("nonsense", flood),
    ("302", always(http("302 Found", b"", "Location: http://127.0.0.1:1/login"))),
    ("500", always(http("500 Internal Server Error", b"Traceback (most recent call last)"))),
    ("429", always(http("429 Too Many Requests", b"{}", "Retry-After: soon"))),
    ("401", always(http("401 Unauthorized", b'{"error": {"message": "wrong secret"}}'))),
    ("404", always(http("404 Not Found", b'{"error": []}'))),
    ("404", always(http("404 Not Found", b"[" * 100_000))),
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


def client_of(url: str) -> CloudClient:
    return CloudClient(url, Identity("screen-1", f"lobby.secret.{KEY}"), paths=paths_of(Settings()))


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
        client = client_of(cloud.url)
        with pytest.raises(kind) as caught:
            await client.heartbeat({})
        assert caught.value.retry_after_s == after_s
        await client.close()


@pytest.mark.parametrize("url", ["vercel", "ftp://x", "http://", "", "http://:80"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UserError, match="UNISONO_CONTROL_URL="):
        client_of(url)
