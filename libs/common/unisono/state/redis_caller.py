"""Scripts run over a link, and what can go wrong with that, said in this package's words."""

import re
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unisono.state.errors import StateError, StateMisconfigured, StateUnavailable
from unisono.state.lua import REFUSED
from unisono.state.redis_cluster import ClusterLink
from unisono.state.redis_link import Link, ServerLink
from unisono.state.scripts import Call, Word

_AWAY = (RedisConnectionError, RedisTimeoutError, RedisClusterException, ClusterError, OSError)
# Errors of our scripts, and the server's own for a log that is used as a hash, or a hash as a log.
_REFUSED = re.compile(rf"{REFUSED} |.*\bWRONGTYPE\b", re.DOTALL)
_SECRET = re.compile(r"([?&](?:username|password)=)[^&]*")


class Caller:
    """Runs scripts over a link, in the words of `unisono.state.errors`.

    ``setting`` is the variable that the URL came from. StateMisconfigured: it makes no sense.
    """

    def __init__(self, url: str, timeout_s: float, *, setting: str, cluster: bool) -> None:
        self._shown = shown(url)
        self._cluster = cluster
        try:
            self._link: Link = (ClusterLink if cluster else ServerLink)(url, timeout_s)
        except ValueError:  # its message may hold the password
            use = "redis://HOST:PORT (rediss:// for TLS), one node of the cluster"
            if not cluster:
                use = "unix://PATH?db=N or redis://HOST:PORT/N (rediss:// for TLS)"
            raise StateMisconfigured(
                f"{setting}={self._shown}: this is no address of Redis; use {use}"
            ) from None

    async def run(self, call: Call, *, repeatable: bool) -> Any:
        """Run a script, which the server need not know yet."""
        words: list[Word] = ["EVALSHA", call.script.sha1, len(call.keys), *call.keys, *call.args]
        try:
            try:
                return await self._link.send(words, repeatable=repeatable)
            except NoScriptError:
                words[:2] = ["EVAL", call.script.text]
                return await self._link.send(words, repeatable=repeatable)
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._translated(error) from error

    async def ping(self) -> None:
        """Return if the server answers."""
        try:
            await self._link.ping()
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._translated(error) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    def _translated(self, error: Exception) -> StateError:
        """What went wrong, as this package says it."""
        reason = str(error) or type(error).__name__
        where = f"Redis at {self._shown}"
        if isinstance(error, ResponseError) and _REFUSED.match(reason):
            # Asking again would not help: what is kept, or is to be, does not fit.
            return StateError(f"{where}: {reason.removeprefix(REFUSED).lstrip()}")
        if isinstance(error, AskError) and not self._cluster:
            return StateUnavailable(f"{where} is a node of a cluster: say so in the settings")
        if isinstance(error, _AWAY) and not isinstance(error, ResponseError):
            return StateUnavailable(f"{where} does not answer: {reason}")
        if isinstance(error, ResponseError):
            # LOADING, READONLY, MASTERDOWN, OOM, CLUSTERDOWN: it is there but cannot serve.
            return StateUnavailable(f"{where} refuses to work: {reason}")
        return StateError(f"{where} failed: {reason}")


def shown(url: str) -> str:
    """``url`` without its password."""
    scheme, found, rest = url.partition("://")
    text = f"{scheme}://{rest.rsplit('@', 1)[-1]}" if found else url
    return _SECRET.sub(r"\1...", text)
