"""A cloud that answers whatever a test wants, byte by byte if need be."""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from unisono.wire.seal import command_key, sign

# Method and path, and where to write; returning ends the connection.
Answer = Callable[[str, str, asyncio.StreamWriter], Awaitable[None]]


class FakeCloud:
    """Serves every request with ``answer``, which may be changed at any time."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.acks: list[dict[str, Any]] = []
        self.bodies: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.bearers: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            length = next(
                (int(line[15:]) for line in head.split("\r\n") if line.lower()[:15] == _LENGTH), 0
            )
            body = await reader.readexactly(length)
            path = target.partition("?")[0]
            self.calls[path] += 1
            self.bearers.append(_bearer(head))
            if body:
                self.bodies[path].append(json.loads(body))
            if path.endswith("/ack"):
                self.acks.append(json.loads(body) | {"path": path})
            await self.answer(method, path, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


_LENGTH = "content-length:"


def _bearer(head: str) -> str:
    """What authorises a request, without its ``Bearer``."""
    lines = (line.split(" ", 2) for line in head.split("\r\n"))
    return next((words[2] for words in lines if words[0].lower() == "authorization:"), "")


KEY = "5e" * 32


def signed(command: dict[str, Any], device_id: str, key: str = KEY) -> dict[str, Any]:
    """A command as the control plane sends it to the device that has that key."""
    body = command | {"device_id": device_id}
    return body | {"signature": sign(body, command_key(key))}


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an answer that closes its connection."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ok(document: Any) -> bytes:
    """A good answer."""
    return http("200 OK", json.dumps(document).encode(), "Content-Type: application/json")


def always(answer: bytes) -> Answer:
    """The same bytes to everything."""

    async def give(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return give


@contextlib.asynccontextmanager
async def fake_cloud(answer: Answer) -> AsyncIterator[FakeCloud]:
    """Serve on a free port of loopback until the block ends."""
    cloud = FakeCloud(answer)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        try:
            await cloud.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    cloud.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cloud
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
