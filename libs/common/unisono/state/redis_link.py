"""The way to a Redis server: one command there, its answer back; errors are those of `redis`.

What changes something is sent once: when its connection breaks, or its answer does not come, it
may have been done, and to add to a counter twice would be wrong. So a call that only reads is
repeated on a new connection, one that writes is not. It rarely matters: the pool looks whether a
connection was closed before it hands it out, and calls read before they write.
"""

import asyncio
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unisono.state.scripts import Word

# One process seldom has more calls under way; those beyond wait for a connection.
CONNECTIONS = 64


class Link(Protocol):
    """Sends one command to whoever has its keys."""

    async def send(self, words: list[Word], *, repeatable: bool) -> Any:
        """The server's answer; what is ``repeatable`` may be sent twice."""
        ...

    async def ping(self) -> None:
        """Return if a server answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class ServerLink:
    """The way to one server; ValueError when its URL cannot be understood."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            # One timeout around all of an attempt (`_send`) costs half of one for each step.
            socket_timeout=None,
            socket_connect_timeout=None,
            # For the making of connections only: one kept from before a restart fails once.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            protocol=2,
        )

    async def send(self, words: list[Word], *, repeatable: bool) -> Any:
        """The server's answer."""
        try:
            return await self._send(words)
        except RedisConnectionError:
            if not repeatable:
                raise
        return await self._send(words)

    async def ping(self) -> None:
        """Return if the server answers."""
        await self.send(["PING"], repeatable=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _send(self, words: list[Word]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._pool.get_connection()
                try:
                    await connection.send_packed_command(packed(words))
                    return await connection.read_response()
                finally:
                    await self._pool.release(connection)
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s:g} s") from None


def packed(words: list[Word]) -> bytes:
    """A command as it goes over the wire; in one piece, for which `redis` takes thrice as long."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        body = (
            word.encode()
            if isinstance(word, str)
            else b"%d" % word
            if isinstance(word, int)
            else word
        )
        parts.append(b"$%d\r\n%b\r\n" % (len(body), body))
    return b"".join(parts)
