"""The exporter's HTTP server over real sockets: what it answers, and to whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from services.exporter.server import MAX_CONNECTIONS, MAX_HEAD_BYTES, MetricsServer
from unisono.runtime import UserError
from unisono.telemetry.exposition import LedgerCollector
from unisono.telemetry.ledger import Ledger

HOST = "127.0.0.1"


@dataclass(slots=True)
class Served:
    """A running server and how often it was scraped."""

    port: int = 0
    scrapes: list[int] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    registry = CollectorRegistry()
    registry.register(LedgerCollector(Ledger(), {"device_id": "d1", "site": "s"}))
    found = Served()
    server = MetricsServer(registry, lambda: found.scrapes.append(1), lambda: {"status": "ok"})
    found.port = await server.start(HOST, 0)
    yield found
    server.close()


async def test_prometheus_can_read_both_formats(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        classic = await client.get(served.url("/metrics"))
        modern = await client.get(
            served.url("/metrics"), headers={"accept": "application/openmetrics-text;version=1.0.0"}
        )
    assert classic.status_code == modern.status_code == 200
    assert classic.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_classic(classic.text)}
    assert "unisono_drift_abs_seconds" in names
    assert {family.name for family in parse_open(modern.text)} >= {"unisono_drift_abs_seconds"}
    assert len(served.scrapes) == 2


async def test_healthz_is_json_and_no_scrape(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(served.url("/healthz?x=1"))
    assert json.loads(answer.text) == {"status": "ok"}
    assert served.scrapes == []


async def test_head_has_no_body(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.head(served.url("/metrics"))
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_no_scrape_is_refused(
    served: Served, request_head: bytes, status: bytes
) -> None:
    answer = await served.raw(request_head)
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_caller_that_hangs_up_harms_nobody(served: Served) -> None:
    _, writer = await asyncio.open_connection(HOST, served.port)
    writer.write(b"GET /met")
    writer.close()
    await writer.wait_closed()
    assert (await served.raw(b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_one_connection_too_many_is_told_so_before_it_asks(served: Served) -> None:
    idle = [await asyncio.open_connection(HOST, served.port) for _ in range(MAX_CONNECTIONS)]
    for _ in range(3):
        reader, writer = await asyncio.open_connection(HOST, served.port)
        async with asyncio.timeout(2):  # less than the server's patience with a silent caller
            assert (await reader.read()).startswith(b"HTTP/1.1 503")
        writer.close()
        await writer.wait_closed()
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(4):
        while not (await served.raw(b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            pass


async def test_a_port_in_use_is_one_sentence(served: Served) -> None:
    server = MetricsServer(CollectorRegistry(), lambda: None, dict)
    with pytest.raises(UserError, match="UNISONO_EXPORTER_PORT") as caught:
        await server.start(HOST, served.port)
    assert "\n" not in str(caught.value)
    assert f"{HOST}:{served.port}" in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
async def test_an_address_that_is_not_ours_is_one_sentence(host: str) -> None:
    server = MetricsServer(CollectorRegistry(), lambda: None, dict)
    with pytest.raises(UserError, match="cannot listen on"):
        await server.start(host, 0)
