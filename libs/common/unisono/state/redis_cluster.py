"""The way to a Redis Cluster: which node has the keys of a command, and what if it has changed.

The maps of slots and nodes, and their connections, are those of `redis`. Its own way to send is
not used: it closes the connections of calls that are under way when a node says that it is down
or has moved a few slots, and it repeats what may have been written (see `redis_link`).
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import PipelineCommand
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterError,
    MovedError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unisono.state.scripts import Word

# Nobody waits for a connection, lest a node that hangs hold up the others.
NODE_CONNECTIONS = 1000
# A call may have to connect, to learn the map anew, and to be sent to another node.
TRIPS = 3
# So often a call is sent on; a slot that moves at that moment takes one or two.
REDIRECTIONS = 8
# Keys on their way between two nodes are nowhere for some milliseconds.
TRY_AGAIN_S = 0.05
# While a node is away every call for it fails, and learning the map costs milliseconds.
LEARN_EVERY_S = 1.0


class ClusterLink:
    """The way to a cluster, of which the URL names one node; ValueError: it cannot be one."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._limit_s = TRIPS * timeout_s
        self._learning = asyncio.Lock()
        self._learnt_s: float | None = None
        try:
            cluster = RedisCluster.from_url(
                url,
                max_connections=NODE_CONNECTIONS,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                # The sites of a node that is away are away; the others go on.
                require_full_coverage=False,
                protocol=2,
            )
        except RedisClusterException as error:
            raise ValueError(str(error)) from None
        self._nodes = cluster.nodes_manager

    async def send(self, words: list[Word], *, repeatable: bool) -> Any:
        """The answer of the node that has the keys; the words are EVAL's or EVALSHA's."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._send(words, key_slot(str(words[3]).encode()), repeatable)
        except TimeoutError:
            raise RedisTimeoutError("the nodes of the cluster take too long") from None

    async def ping(self) -> None:
        """Return if some node answers."""
        async with asyncio.timeout(self._limit_s):
            if self._learnt_s is None:
                await self._learn()
            asked = [
                asyncio.ensure_future(node.execute_command("PING"))
                for node in self._nodes.nodes_cache.values()
            ]
            try:
                for answer in asyncio.as_completed(asked):
                    with contextlib.suppress(RedisError):
                        await answer
                        return
            finally:
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
        raise RedisConnectionError("no node of the cluster answers")

    async def close(self) -> None:
        """Close the connections."""
        await self._nodes.aclose()
        await self._nodes.aclose("startup_nodes")

    async def _send(self, words: list[Word], slot: int, repeatable: bool) -> Any:
        if self._learnt_s is None:
            await self._learn()
        node, asking = await self._node_of(slot), False
        for _ in range(REDIRECTIONS):
            try:
                if asking:
                    return await _ask(node, words)
                return await node.execute_command(*words)
            except MovedError as error:
                await self._learn()
                node, asking = self._named(error), False
            except AskError as error:
                node, asking = self._named(error), True
            except TryAgainError:
                await asyncio.sleep(TRY_AGAIN_S)
            except RedisTimeoutError:
                await self._learn()
                raise
            except RedisConnectionError:
                await node.disconnect_free_connections()  # they are as old as the broken one
                await self._learn()
                if not repeatable:
                    raise
                node, asking, repeatable = await self._node_of(slot), False, False
        raise ClusterError("the keys are on their way from one node to another")

    async def _node_of(self, slot: int) -> Any:
        node = self._known(slot)
        if node is None:
            await self._learn()
            node = self._known(slot)
        if node is None:
            raise ClusterError(f"no node of the cluster has slot {slot}")
        return node

    def _known(self, slot: int) -> Any:
        """The node that has a slot; None where no node does, as far as is known."""
        try:
            return self._nodes.get_node_from_slot(slot)
        except (SlotNotCoveredError, KeyError):  # it raises either
            return None

    def _named(self, error: AskError) -> Any:
        """The node that another one has pointed to."""
        node = self._nodes.get_node(host=error.host, port=error.port)
        if node is None:
            raise ClusterError(f"no node {error.host}:{error.port} is known yet")
        return node

    async def _learn(self) -> None:
        """Learn which node has which slots, unless that was done a moment ago."""
        before = self._learnt_s
        async with self._learning:
            now_s = asyncio.get_running_loop().time()
            if self._learnt_s is not None:
                if self._learnt_s != before or now_s - self._learnt_s < LEARN_EVERY_S:
                    return
                self._learnt_s = now_s  # whatever comes of it: the old map is still of use
                await self._nodes.initialize()
                return
            await self._nodes.initialize()
            self._learnt_s = now_s


async def _ask(node: Any, words: list[Word]) -> Any:
    """Ask a node for keys that are about to be its own; both words go over one connection."""
    commands = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *words)]
    await node.execute_pipeline(commands)
    answer = commands[1].result
    if isinstance(answer, Exception):
        raise answer
    return answer
