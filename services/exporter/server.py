"""A very small HTTP server for ``/metrics`` and ``/healthz``, inside the process's own loop.

prometheus_client brings a threaded server; this one needs no thread (so the ledger needs no
lock, and 20 messages a second never wait for the interpreter's lock of a scrape), no stack for
each, and refuses what a scraper never sends. The text itself is the library's.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from unisono.runtime import UserError

# A scraper's head is a few hundred bytes; who sends more, or takes longer, is not one.
MAX_HEAD_BYTES = 8192
REQUEST_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 16

Answer = tuple[HTTPStatus, str, bytes]


class MetricsServer:
    """Answers GET and HEAD of two pages; every connection carries one request.

    ``before_scrape`` is called right before the registry is read; ``health`` gives the JSON
    document of ``/healthz``.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        before_scrape: Callable[[], None],
        health: Callable[[], dict[str, object]],
    ) -> None:
        self._registry = registry
        self._before_scrape = before_scrape
        self._health = health
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (asked for with 0). UserError when that cannot be."""
        try:
            self._server = await asyncio.start_server(
                self._accept, host, port, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            raise UserError(
                f"/metrics cannot listen on {host}:{port} ({_reason(error)}): set "
                "UNISONO_EXPORTER_HOST and UNISONO_EXPORTER_PORT to a free address of this machine"
            ) from None
        port_found: int = self._server.sockets[0].getsockname()[1]
        return port_found

    def close(self) -> None:
        """Stop listening; connections still open end by themselves, within seconds."""
        if self._server is not None:
            self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; one too many is told so and closed before it can ask for anything."""
        if len(self._serving) >= MAX_CONNECTIONS:
            answer = _plain(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
            writer.write(_head(answer) + answer[2])
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await self._exchange(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            method, answer = "GET", _plain(status, "that is not a scrape")
        else:
            method, answer = self._answer(head.decode("latin-1"))
        writer.write(_head(answer))
        if method != "HEAD":
            writer.write(answer[2])
        await writer.drain()

    def _answer(self, head: str) -> tuple[str, Answer]:
        request, *fields = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if not rest.endswith(("HTTP/1.1", "HTTP/1.0")):
            return method, _plain(HTTPStatus.BAD_REQUEST, "that is not HTTP/1.1")
        if path not in {"/metrics", "/healthz"}:
            return method, _plain(HTTPStatus.NOT_FOUND, "here are /metrics and /healthz")
        if method not in {"GET", "HEAD"}:
            return method, _plain(HTTPStatus.METHOD_NOT_ALLOWED, "use GET")
        if path == "/healthz":
            body = json.dumps(self._health()).encode()
            return method, (HTTPStatus.OK, "application/json", body)
        self._before_scrape()
        encode, content_type = choose_encoder(_field(fields, "accept"))
        return method, (HTTPStatus.OK, content_type, encode(self._registry))


def _head(answer: Answer) -> bytes:
    status, content_type, body = answer
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _field(fields: list[str], name: str) -> str:
    for line in fields:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def _plain(status: HTTPStatus, sentence: str) -> Answer:
    return status, "text/plain; charset=utf-8", f"{sentence}\n".encode()


def _reason(error: OSError) -> str:
    # asyncio rewrites strerror into a long sentence; the system's own words are enough.
    return error.strerror.rpartition(": ")[2] if error.strerror else str(error)
