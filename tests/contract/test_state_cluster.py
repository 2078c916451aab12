"""The documents over a real cluster: sites are spread, a node goes away, slots move."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot

from tests.support.redis_cluster import Node, RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.site_records import NOW_MS, record
from unisono.core.site_document import Decision, SiteDocument
from unisono.state import DocumentStore, RedisStore, StateUnavailable, keys
from unisono.state.store import AddTo, Fields, SetFields

SITES = [f"site{number}" for number in range(50)]
SOON_S = 10.0


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    redis_cluster.flush()
    return redis_cluster


@pytest.fixture
async def raw(cluster: RedisCluster) -> AsyncIterator[RedisStore]:
    made = RedisStore(cluster.url, timeout_s=2, cluster=True)
    yield made
    await made.close()


@pytest.fixture
async def hasty(cluster: RedisCluster) -> AsyncIterator[RedisStore]:
    """One that does not wait for long; the connections to all nodes are there already."""
    made = RedisStore(cluster.url, timeout_s=0.5, cluster=True)
    await made.read([Fields(site) for site in SITES])
    yield made
    await made.close()


@pytest.fixture
def store(raw: RedisStore) -> DocumentStore:
    return DocumentStore(raw, "test")


async def call(store: DocumentStore, site: str) -> int:
    """One device call that changes the site's document; the version that it found."""
    view = await store.device_view(site, "a", now_ms=NOW_MS, window=5)
    batch = store.batch(site)
    batch.add(keys.REQUESTS, "heartbeat 200")
    made = Decision(SiteDocument(view.site.revision + 1, (record(),)))
    assert await store.settle(batch, view=view, decision=made)
    return view.version


async def until_it_works(store: DocumentStore, site: str) -> int:
    """The version that the first call that is served again finds."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await call(store, site)
            except StateUnavailable:
                await asyncio.sleep(0.02)


def by_node(cluster: RedisCluster) -> dict[int, list[str]]:
    """The sites of each node."""
    found: dict[int, list[str]] = {number: [] for number in range(len(cluster.nodes))}
    for site in SITES:
        found[cluster.nodes.index(cluster.node_of(key_slot(site.encode())))].append(site)
    return found


async def test_the_sites_are_spread_over_the_nodes(
    store: DocumentStore, cluster: RedisCluster
) -> None:
    for version in (0, 1):
        found = await asyncio.gather(*(call(store, site) for site in SITES))
        assert found == [version] * len(SITES)
    sites = by_node(cluster)
    for number, node in enumerate(cluster.nodes):
        assert sites[number]
        held = {key.decode() for key in node.ask("KEYS", "*")}
        assert {key.partition("{")[2].partition("}")[0] for key in held} == set(sites[number])
    views = await asyncio.gather(*(store.site_view(site) for site in SITES))
    assert [view.requests for view in views] == [{"heartbeat 200": 2}] * len(SITES)


async def test_a_node_that_hangs_takes_only_its_sites_away(
    hasty: RedisStore, cluster: RedisCluster
) -> None:
    store = DocumentStore(hasty, "test")
    await asyncio.gather(*(call(store, site) for site in SITES))
    sites = by_node(cluster)
    os.kill(cluster.nodes[2].pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        answers = await asyncio.gather(
            *(call(store, site) for site in sites[2][:5] + sites[0] + sites[1]),
            return_exceptions=True,
        )
        assert time.monotonic() - began_s < 5
    finally:
        os.kill(cluster.nodes[2].pid, signal.SIGCONT)
    assert all(isinstance(answer, StateUnavailable) for answer in answers[:5])
    assert answers[5:] == [1] * len(sites[0] + sites[1])
    assert await until_it_works(store, sites[2][0]) == 1


async def test_a_node_that_dies_comes_back_with_what_it_knew(
    store: DocumentStore, cluster: RedisCluster
) -> None:
    await asyncio.gather(*(call(store, site) for site in SITES))
    await asyncio.sleep(0)
    sites, node = by_node(cluster), cluster.nodes[1]
    node.ask("CONFIG", "SET", "appendfsync", "always")
    await call(store, sites[1][0])
    node.kill()
    try:
        with pytest.raises(StateUnavailable, match="does not answer"):
            await call(store, sites[1][0])
        others = sites[0] + sites[2]
        assert await asyncio.gather(*(call(store, site) for site in others)) == [1] * len(others)
    finally:
        node.start()
    # While it finds its place it says that the cluster is down: nobody else shall suffer from it.
    waiting = asyncio.create_task(until_it_works(store, sites[1][0]))
    served = 0
    while not waiting.done():
        await asyncio.gather(*(call(store, site) for site in others))
        served += 1
        await asyncio.sleep(0.05)
    assert await waiting == 2
    assert served > 1
    cluster.await_ready()


def move(node: Node, target: Node, everyone: RedisCluster, slot: int, *names: str) -> None:
    """Move a slot with its keys to another node; all nodes hear of it."""
    begin_move(node, target, slot, *names)
    for one in everyone.nodes:
        one.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))


def begin_move(node: Node, target: Node, slot: int, *names: str) -> None:
    """Move some keys, while the slot still is the first node's."""
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", node.ask("CLUSTER", "MYID"))
    node.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
    for name in names:
        node.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 1000)


async def test_a_slot_that_moves_is_followed(raw: RedisStore, cluster: RedisCluster) -> None:
    key, slot = "{wanderer}:a", key_slot(b"wanderer")
    home = cluster.node_of(slot)
    away = cluster.nodes[cluster.nodes.index(home) - 1]
    await raw.write([SetFields(key, {"x": b"1"}), SetFields("{wanderer}:b", {"x": b"1"})])
    try:
        # Half way: the key is elsewhere already, but the slot is not.
        begin_move(home, away, slot, key)
        assert await raw.read([Fields(key)]) == [{"x": b"1"}]
        await raw.write([AddTo(key, "n")])
        assert await raw.count(AddTo(key, "n")) == 2
        # What needs keys of both sides has to wait until all have moved.
        with pytest.raises(StateUnavailable):
            await raw.read([Fields(key), Fields("{wanderer}:b")])
        move(home, away, cluster, slot, "{wanderer}:b")
        assert await raw.read([Fields(key), Fields("{wanderer}:b")]) == [
            {"x": b"1", "n": b"2"},
            {"x": b"1"},
        ]
        await raw.write([AddTo(key, "n")])
    finally:
        move(away, home, cluster, slot, key, "{wanderer}:b")
    assert await raw.count(AddTo(key, "n")) == 4
    assert home.keys() == 2


async def test_a_wrong_idea_of_the_server_is_said_to_be_so(
    cluster: RedisCluster, redis_server: RedisServer
) -> None:
    single = RedisStore(cluster.url, timeout_s=5)
    with pytest.raises(StateUnavailable, match="a node of a cluster"):
        await single.read([Fields(site) for site in SITES])
    await single.close()
    away = RedisStore("redis://user:hunter2@127.0.0.1:1", cluster=True)
    for attempt in (away.ping(), away.read([Fields("a")]), away.write([AddTo("a", "x")])):
        with pytest.raises(StateUnavailable, match="does not answer") as caught:
            await attempt
        assert "hunter2" not in str(caught.value)
    await away.close()


async def test_a_cluster_answers_while_a_node_does(
    hasty: RedisStore, cluster: RedisCluster
) -> None:
    await hasty.ping()
    os.kill(cluster.nodes[0].pid, signal.SIGSTOP)
    try:
        await hasty.ping()
    finally:
        os.kill(cluster.nodes[0].pid, signal.SIGCONT)


async def test_connections_that_were_closed_are_not_noticed(
    raw: RedisStore, cluster: RedisCluster
) -> None:
    slot = key_slot(b"a")
    for _ in range(3):
        await asyncio.gather(*(raw.read([Fields("a")]) for _ in range(5)))
        cluster.node_of(slot).ask("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.01)
        assert await raw.read([Fields("a")]) == [{}]


async def test_a_slot_that_nobody_has_concerns_nobody_else(cluster: RedisCluster) -> None:
    slot, store = key_slot(b"a"), RedisStore(cluster.url, timeout_s=2, cluster=True)
    for node in cluster.nodes:
        node.ask("CLUSTER", "DELSLOTS", slot)
    try:
        with pytest.raises(StateUnavailable):
            await store.read([Fields("a")])
        assert await store.read([Fields("b"), Fields("c"), Fields("d")]) == [{}, {}, {}]
    finally:
        cluster.node_of(slot).ask("CLUSTER", "ADDSLOTS", slot)
        cluster.await_ready()
    async with asyncio.timeout(SOON_S):
        while True:
            with contextlib.suppress(StateUnavailable):
                assert await store.read([Fields("a")]) == [{}]
                break
            await asyncio.sleep(0.02)
    await store.close()
