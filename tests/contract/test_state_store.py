"""The store's contract, for the server and for its twin in memory."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, start_redis
from unisono.state import MemoryStore, RedisStore, StateUnavailable, Store
from unisono.state.errors import StateError, StateMisconfigured
from unisono.state.store import AddTo, DropFields, Fields, Guard, SetFields, Write


@pytest.fixture(params=["redis", "memory"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made: Store
    made = MemoryStore() if request.param == "memory" else RedisStore(_url(request))
    yield made
    await made.close()


def _url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("redis_url")
    return url


async def forgotten(store: Store, key: str) -> None:
    async with asyncio.timeout(5):
        while (await store.read([Fields(key)]))[0]:  # noqa: ASYNC110  (the server forgets it)
            await asyncio.sleep(0.005)


async def test_an_absent_key_reads_as_nothing(store: Store) -> None:
    assert await store.read([Fields("a"), Fields("a", ("x", "y"))]) == [{}, {}]


async def test_fields_are_written_read_and_dropped(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1", "y": b"\x00\xff"}), SetFields("b", {"z": b""})])
    await store.write([SetFields("a", {"x": b"2"})])
    assert await store.read([Fields("a"), Fields("a", ("y", "no")), Fields("b")]) == [
        {"x": b"2", "y": b"\x00\xff"},
        {"y": b"\x00\xff"},
        {"z": b""},
    ]
    await store.write([DropFields("a", ("x", "no")), DropFields("b", ("z",))])
    assert await store.read([Fields("a"), Fields("b")]) == [{"y": b"\x00\xff"}, {}]


async def test_empty_writes_do_nothing(store: Store) -> None:
    await store.write([])
    await store.write([SetFields("a", {}), DropFields("a", ()), DropFields("b", ("x",))])
    assert await store.read([Fields("a")]) == [{}]


async def test_counters_add_up(store: Store) -> None:
    await store.write([AddTo("n", "x"), AddTo("n", "x", 5), AddTo("n", "y", -2)])
    assert await store.read([Fields("n")]) == [{"x": b"6", "y": b"-2"}]


async def test_a_counter_that_is_no_number_is_an_error(store: Store) -> None:
    await store.write([SetFields("n", {"x": b"many"})])
    with pytest.raises(StateError):
        await store.write([AddTo("n", "x")])


async def test_a_key_with_a_ttl_is_forgotten(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1"}, ttl_ms=30), SetFields("b", {"x": b"1"})])
    await forgotten(store, "a")
    assert await store.read([Fields("b")]) == [{"x": b"1"}]


async def test_a_later_write_renews_the_ttl(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1"}, ttl_ms=60_000)])
    await store.write([AddTo("a", "n", 1, ttl_ms=20)])
    await forgotten(store, "a")


async def test_a_commit_applies_all_or_nothing(store: Store) -> None:
    writes: list[Write] = [
        SetFields("{s}:a", {"v": b"1", "d": b"doc"}),
        AddTo("{s}:n", "made"),
        SetFields("{s}:q", {"c": b"go"}, ttl_ms=60_000),
    ]
    fresh = [Guard("{s}:a", "v", None)]
    assert await store.commit(fresh, writes)
    assert not await store.commit(fresh, writes)
    assert await store.read([Fields("{s}:a"), Fields("{s}:n"), Fields("{s}:q")]) == [
        {"v": b"1", "d": b"doc"},
        {"made": b"1"},
        {"c": b"go"},
    ]
    right, wrong = Guard("{s}:a", "v", b"1"), Guard("{s}:q", "c", b"stop")
    drops: list[Write] = [DropFields("{s}:a", ("v", "d")), DropFields("{s}:q", ("c",))]
    assert not await store.commit([right, wrong], drops)
    assert await store.commit([right, Guard("{s}:q", "none", None)], drops)
    assert await store.read([Fields("{s}:a"), Fields("{s}:q")]) == [{}, {}]


async def test_an_empty_value_is_not_an_absent_one(store: Store) -> None:
    await store.write([SetFields("a", {"x": b""})])
    drops = [DropFields("a", ("x",))]
    assert not await store.commit([Guard("a", "x", None)], drops)
    assert await store.commit([Guard("a", "x", b"")], drops)


async def test_of_racing_commits_one_wins(store: Store) -> None:
    async def add(name: str) -> None:
        while True:
            (held,) = await store.read([Fields("a")])
            number = int(held.get("v", b"0"))
            guard = Guard("a", "v", held.get("v"))
            change = SetFields("a", {"v": b"%d" % (number + 1), name: b"done"})
            if await store.commit([guard], [change]):
                return

    await asyncio.gather(*(add(f"w{number}") for number in range(20)))
    (held,) = await store.read([Fields("a")])
    assert held["v"] == b"20"
    assert len(held) == 21


async def test_a_server_that_is_away_is_said_to_be_so(short_dir: Path) -> None:
    store = RedisStore(f"unix://{short_dir}/none.sock")
    write = AddTo("a", "x")
    for attempt in (store.ping(), store.read([Fields("a")]), store.write([write])):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await attempt
    with pytest.raises(StateUnavailable):
        await store.commit([], [write])
    await store.close()
    memory = MemoryStore()
    memory.available = False
    with pytest.raises(StateUnavailable):
        await memory.ping()


async def test_a_server_that_hangs_holds_nobody_up(short_dir: Path) -> None:
    with start_redis() as server:
        store = RedisStore(server.url, timeout_s=0.1)
        await store.write([SetFields("a", {"x": b"1"})])
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(5):
                with pytest.raises(StateUnavailable):
                    await store.read([Fields("a")])
        finally:
            os.kill(server.pid, signal.SIGCONT)
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await store.read([Fields("a")]) == [{"x": b"1"}]
                    break
                except StateUnavailable:
                    await asyncio.sleep(0.01)
        await store.close()


async def test_a_password_is_not_shown(redis_server: RedisServer) -> None:
    store = RedisStore("redis://user:hunter2@127.0.0.1:1/0")
    with pytest.raises(StateUnavailable) as caught:
        await store.ping()
    assert "hunter2" not in str(caught.value)
    await store.close()
    with pytest.raises(StateMisconfigured) as unfit:
        RedisStore("ftp://user:hunter2@nowhere")
    assert "hunter2" not in str(unfit.value)
    assert "UNISONO_REDIS_URL=ftp://nowhere" in str(unfit.value)
