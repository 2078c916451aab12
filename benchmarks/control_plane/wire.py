"""A connection of keep-alive HTTP/1.1, cheap enough not to be what is measured."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    def document(self) -> dict[str, Any]:
        """The body, read as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def request(
    method: str, path: str, bearer: str = "", body: object = None, address: str = ""
) -> bytes:
    """The bytes of a request; ``address`` is the client's, for a server that is told so."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(content)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if address:
        lines.append(f"X-Client: {address}")
    return "\r\n".join([*lines, "", ""]).encode() + content


class Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._got = bytearray()

    @classmethod
    async def to(cls, host: str, port: int) -> "Line":
        """A connection to that server."""
        _, line = await asyncio.get_running_loop().create_connection(cls, host, port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has gone."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; it ends where its length says."""
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._got[:end]).lower()
        size = _number(head, b"\r\ncontent-length:") or 0
        if len(self._got) < end + 4 + size:
            return
        body = bytes(self._got[end + 4 : end + 4 + size])
        self._got.clear()
        if not self._answer.done():
            self._answer.set_result(
                Answer(int(head[9:12]), body, _number(head, b"\r\nretry-after:"))
            )

    async def ask(self, sent: bytes) -> Answer:
        """Send a request, wait for its answer."""
        assert self._transport is not None  # noqa: S101  (`to` waited for it)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(sent)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def _number(head: bytes, name: bytes) -> int | None:
    at = head.find(name)
    return None if at < 0 else int(head[at + len(name) :].split(b"\r\n", 1)[0])
