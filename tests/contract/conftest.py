"""The servers that the state layer's contract is tested over."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.redis_cluster import RedisCluster, start_redis_cluster
from tests.support.redis_server import REDIS, RedisServer, start_redis
from unisono.state import MemoryStore, RedisStore, Store

KINDS = ("redis", "valkey", "cluster", "memory")


@pytest.fixture(scope="session")
def redis_itself() -> Iterator[RedisServer]:
    """The system's Redis; `redis_server` is Valkey."""
    with start_redis(kind=REDIS) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three nodes; a test that ends one starts it again."""
    with start_redis_cluster() as cluster:
        yield cluster


@pytest.fixture(params=KINDS)
async def raw(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    made = open_store(request, request.param)
    yield made
    await made.close()


def open_store(request: pytest.FixtureRequest, kind: str) -> Store:
    """An empty store of that kind."""
    if kind == "memory":
        return MemoryStore()
    if kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        return RedisStore(cluster.url, timeout_s=5, cluster=True)
    server: RedisServer = request.getfixturevalue(
        "redis_itself" if kind == "redis" else "redis_server"
    )
    server.flush()
    return RedisStore(server.url, timeout_s=5)
