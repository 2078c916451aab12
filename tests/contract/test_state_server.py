"""The store when its server is away, hangs, restarts, or has another address than said."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
import redis

from tests.support.redis_server import REDIS, VALKEY, RedisServer, start_redis
from unisono.state import MemoryStore, RedisStore, StateUnavailable
from unisono.state.errors import StateMisconfigured
from unisono.state.store import AddTo, Append, DropFields, Entries, Fields, SetFields, Write


async def test_a_server_that_is_away_is_said_to_be_so(short_dir: Path) -> None:
    store = RedisStore(f"unix://{short_dir}/none.sock")
    write = AddTo("a", "x")
    for attempt in (store.ping(), store.read([Fields("a")]), store.write([write])):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await attempt
    with pytest.raises(StateUnavailable):
        await store.commit([], [write])
    with pytest.raises(StateUnavailable):
        await store.count(write)
    with pytest.raises(StateUnavailable):
        await store.entries([Entries("a", 0, 1, 1)])
    await store.close()
    memory = MemoryStore()
    memory.available = False
    with pytest.raises(StateUnavailable):
        await memory.ping()


@pytest.mark.parametrize("kind", [REDIS, VALKEY])
async def test_a_server_that_hangs_holds_nobody_up(kind: str) -> None:
    with start_redis(kind=kind) as server:
        store = RedisStore(server.url, timeout_s=0.1)
        await store.write([SetFields("a", {"x": b"1"})])
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(5):
                with pytest.raises(StateUnavailable):
                    await store.read([Fields("a")])
                with pytest.raises(StateUnavailable):
                    await store.write([AddTo("n", "x")])
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
    # A slash in it makes another part of it the port, which the parser then quotes.
    for url in (
        "redis://:hunter2/x@host:1/0",
        "redis://:hunter2@host:x",
        "unix://@?password=hunter2",
    ):
        with contextlib.suppress(StateMisconfigured):
            away = RedisStore(url, timeout_s=0.05)
            with pytest.raises(StateUnavailable) as caught:
                await away.ping()
            assert "hunter2" not in str(caught.value)
            continue
        with pytest.raises(StateMisconfigured) as unfit:
            RedisStore(url)
        assert "hunter2" not in str(unfit.value)


@pytest.mark.parametrize("url", ["unix:///tmp/x.sock", "redis://127.0.0.1:6379/3", "127.0.0.1"])
def test_a_url_that_cannot_be_a_cluster_is_refused(url: str) -> None:
    with pytest.raises(StateMisconfigured, match="one node of the cluster"):
        RedisStore(url, cluster=True)


@pytest.mark.parametrize("kind", [REDIS, VALKEY])
async def test_a_restart_of_the_server_is_not_noticed(kind: str, short_dir: Path) -> None:
    with start_redis(kind=kind, directory=short_dir) as server:
        store = RedisStore(server.url)
        await asyncio.gather(*(store.write([AddTo("n", "x")]) for _ in range(8)))
    with start_redis(kind=kind, directory=short_dir):
        await asyncio.sleep(0.01)  # until the loop has heard that the connections are closed
        # All connections are stale, and the server knows no script: each write is done once.
        await asyncio.gather(*(store.write([AddTo("n", "x")]) for _ in range(8)))
        assert await store.read([Fields("n")]) == [{"x": b"16"}]
        await store.close()


@pytest.mark.parametrize("kind", [REDIS, VALKEY])
async def test_a_server_that_is_full_writes_nothing_or_all(kind: str) -> None:
    with start_redis(kind=kind) as server:
        store = RedisStore(server.url)
        await store.write([SetFields("{s}:a", {"x": b"1", "y": b"1"})])
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 1)
            grows: list[Write] = [
                SetFields("{s}:a", {"x": b"2"}), AddTo("{s}:n", "z"),
                Append("{s}:l", 1, b"e", 9, 60_000),
            ]  # fmt: skip
            with pytest.raises(StateUnavailable, match="maxmemory"):
                await store.commit([], grows)
            assert await store.read([Fields("{s}:a"), Fields("{s}:n")]) == [
                {"x": b"1", "y": b"1"},
                {},
            ]
            # What frees memory goes through, and all that comes with it.
            assert await store.commit([], [DropFields("{s}:a", ("y",)), *grows])
            assert await store.read([Fields("{s}:a"), Fields("{s}:n")]) == [
                {"x": b"2"},
                {"z": b"1"},
            ]
            assert await store.entries([Entries("{s}:l", 0, 9, 9)]) == [[(1, b"e")]]
        await store.close()


async def test_what_may_have_been_written_is_not_written_twice() -> None:
    """A server that takes the command and closes the connection: was it done?"""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while data := await reader.read(65_536):
            if b"EVALSHA" in data:
                asked += 1
                break
            writer.write(b"+OK\r\n" * data.count(b"CLIENT"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    store = RedisStore(f"redis://127.0.0.1:{port}/0")
    for attempt in (store.write([AddTo("a", "x")]), store.count(AddTo("a", "x"))):
        asked = 0
        with pytest.raises(StateUnavailable):
            await attempt
        assert asked == 1
    asked = 0
    with pytest.raises(StateUnavailable):
        await store.read([Fields("a")])
    assert asked == 2
    await store.close()
    server.close()
    await server.wait_closed()
