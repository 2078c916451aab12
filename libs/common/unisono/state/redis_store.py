"""The store on a Redis-compatible server; no other module imports ``redis``."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unisono.state.errors import StateError, StateMisconfigured, StateUnavailable
from unisono.state.store import AddTo, DropFields, Fields, Guard, SetFields, Write

# A local server answers within a millisecond; half a second says that it is gone.
TIMEOUT_S = 0.5

# KEYS: every key that is touched. ARGV: the number of guards; for each guard its key, its field,
# "1" or "0" (present or absent) and the value expected; then the writes, each as the number of
# its words and the words. It compares and writes: no decision lives here.
COMMIT = """
local guards = tonumber(ARGV[1])
local at = 2
for _ = 1, guards do
  local held = redis.call('HGET', ARGV[at], ARGV[at + 1])
  if ARGV[at + 2] == '0' then
    if held then return 0 end
  elseif held ~= ARGV[at + 3] then
    return 0
  end
  at = at + 4
end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return 1
"""


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise StateUnavailable(f"Redis at {url} does not answer: {reason}") from error
    except ResponseError as error:
        # LOADING, READONLY, MASTERDOWN, OOM, CLUSTERDOWN: the server is there but cannot serve.
        raise StateUnavailable(f"Redis at {url} refuses to work: {error}") from error
    except RedisError as error:
        raise StateError(f"Redis at {url} failed: {error}") from error


def _shown(url: str) -> str:
    """``url`` without its password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}" if found else url


class RedisStore:
    """A server at ``redis://HOST:PORT/N``, ``rediss://`` or ``unix://PATH?db=N``.

    Connections are made when first needed and made anew after a failure; nothing waits longer
    than about ``timeout_s`` per attempt (one retry, since a connection kept from before a
    restart of the server fails once). StateMisconfigured when the URL cannot be understood; it
    names ``setting``, the variable that the URL came from.
    """

    def __init__(
        self, url: str, timeout_s: float = TIMEOUT_S, *, setting: str = "UNISONO_REDIS_URL"
    ) -> None:
        self._shown = _shown(url)
        try:
            self._redis: Redis = Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
                protocol=2,
            )
        except ValueError as error:
            raise StateMisconfigured(
                f"{setting}={self._shown}: {error}; use unix://PATH?db=N or redis://HOST:PORT/N"
            ) from None
        self._commit = self._redis.register_script(COMMIT)

    async def read(self, reads: Sequence[Fields]) -> list[dict[str, bytes]]:
        """The fields of each read, in order, in one round trip."""
        with _translated(self._shown):
            async with self._redis.pipeline(transaction=False) as pipe:
                for line in reads:
                    if line.names is None:
                        pipe.hgetall(line.key)
                    else:
                        pipe.hmget(line.key, list(line.names))
                replies = await pipe.execute()
        return [_named(line, reply) for line, reply in zip(reads, replies, strict=True)]

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order, in one round trip."""
        if not writes:
            return
        with _translated(self._shown):
            async with self._redis.pipeline(transaction=False) as pipe:
                for line in writes:
                    for words in _words(line):
                        pipe.execute_command(*words)
                await pipe.execute()

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all if every guard holds, as one script on the server."""
        keys = list(dict.fromkeys([guard.key for guard in guards] + [w.key for w in writes]))
        args: list[Any] = [len(guards)]
        for guard in guards:
            present = guard.expected is not None
            args += [guard.key, guard.name, int(present), guard.expected if present else b""]
        for line in writes:
            for words in _words(line):
                args += [len(words), *words]
        with _translated(self._shown):
            return bool(await self._commit(keys=keys, args=args))

    async def ping(self) -> None:
        """Return if the server answers."""
        with _translated(self._shown):
            await self._redis.ping()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _named(line: Fields, reply: Any) -> dict[str, bytes]:
    if line.names is None:
        return {name.decode(): value for name, value in reply.items()}
    pairs = zip(line.names, reply, strict=True)
    return {name: value for name, value in pairs if value is not None}


def _words(line: Write) -> list[list[str | bytes | int]]:
    """The server's commands for one write."""
    commands: list[list[str | bytes | int]] = []
    ttl_ms: int | None = None
    match line:
        case SetFields(key, values, ttl_ms):
            if values:
                flat = [word for pair in values.items() for word in pair]
                commands.append(["HSET", key, *flat])
        case DropFields(key, names):
            if names:
                commands.append(["HDEL", key, *names])
        case AddTo(key, name, by, ttl_ms):
            commands.append(["HINCRBY", key, name, by])
    if ttl_ms is not None:
        commands.append(["PEXPIRE", line.key, ttl_ms])
    return commands
