"""Who connects to the listener of probes over TCP, and what it may do there."""

import asyncio
import contextlib
import itertools
import resource
import socket

import pytest

from tests.support.probe_peers import BAD, GOOD, HERE, answered, connect, echo, ended
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.core.units import NS_PER_S, OwnNs
from unisono.lan import probe_stream, tcp_probes
from unisono.lan.tcp_probes import MAX_CONNECTIONS_OF_ONE, MAX_REFUSED
from unisono.wire.probe import PROBE_BYTES


async def test_a_stranger_is_let_go_after_a_few_refusals_and_a_follower_is_forgiven() -> None:
    async with echo() as (listener, heard):
        loop = asyncio.get_running_loop()
        stranger, follower = await connect(listener.endpoint), await connect(listener.endpoint)
        for _ in range(3):
            await loop.sock_sendall(follower, BAD * MAX_REFUSED + GOOD)
        await until(lambda: len(heard) == 3 * (MAX_REFUSED + 1))
        await loop.sock_sendall(stranger, BAD * 1000)
        assert await ended(stranger)
        assert len(heard) == 4 * (MAX_REFUSED + 1)
        assert listener.connections == 1
        follower.close()


async def test_a_flood_is_read_in_small_portions_and_answered_within_a_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = own_ns()
    monkeypatch.setattr(probe_stream, "own_ns", lambda: now_ns)
    monkeypatch.setattr(probe_stream, "ANSWERS_PER_S", 6)
    async with echo() as (listener, heard):
        loop, turns = asyncio.get_running_loop(), list[int]()
        flooder, follower = await connect(listener.endpoint), await connect(listener.endpoint)
        await until(lambda: listener.connections == 2)

        def turn() -> None:
            turns.append(len(heard))
            loop.call_soon(turn)

        turn()
        await loop.sock_sendall(flooder, GOOD * 100)
        assert await answered(follower)
        await until(lambda: len(heard) == 6 + 1)
        assert max(after - before for before, after in itertools.pairwise(turns)) <= 5
        await asyncio.sleep(0.02)  # all has been read
        assert await loop.sock_recv(flooder, 100 * PROBE_BYTES) == GOOD * 6
        now_ns = OwnNs(now_ns + NS_PER_S // 6)
        assert await answered(flooder)
        assert len(heard) == 6 + 2
        for peer in (flooder, follower):
            peer.close()


async def test_one_address_has_a_few_connections_only() -> None:
    async with echo() as (listener, _):
        whom = listener.endpoint
        peers = [await connect(whom) for _ in range(MAX_CONNECTIONS_OF_ONE)]
        assert await answered(peers[0])
        other = await connect(whom, address="127.0.0.2")
        peers += [await connect(whom) for _ in range(2)]
        for idlest in peers[1:3]:
            assert await ended(idlest)
        assert listener.connections == MAX_CONNECTIONS_OF_ONE + 1
        assert await answered(peers[0])
        assert await answered(other)
        for peer in (other, *peers):
            peer.close()


async def test_too_many_connections_are_at_the_cost_of_those_who_have_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_probes, "MAX_CONNECTIONS", 9)
    async with echo() as (listener, _):
        whom = listener.endpoint
        follower, silent = await connect(whom), await connect(whom, address="127.0.0.2")
        assert await answered(follower)
        abusers = [await connect(whom, address="127.0.0.3") for _ in range(7)]
        for abuser in abusers:  # they say again what they have heard
            assert await answered(abuser)
        late = [await connect(whom, address=f"127.0.0.{number}") for number in (4, 5)]
        for abuser in abusers[:2]:
            assert await ended(abuser)
        for peer in (follower, silent, *late):
            assert await answered(peer)
        assert listener.connections == 9
        for peer in (follower, silent, *late, *abusers):
            peer.close()


async def test_among_equals_who_was_never_answered_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_probes, "MAX_CONNECTIONS", 2)
    async with echo() as (listener, _):
        whom = listener.endpoint
        follower, stranger = await connect(whom), await connect(whom, address="127.0.0.2")
        assert await answered(follower)
        late = await connect(whom, address="127.0.0.3")
        assert await ended(stranger)
        for peer in (follower, late):
            assert await answered(peer)
            peer.close()


async def test_who_says_nothing_worth_an_answer_for_long_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_probes, "IDLE_NS", NS_PER_S // 10)
    async with echo() as (listener, _):
        silent, slow = await connect(listener.endpoint), await connect(listener.endpoint)
        slow.send(b"?")
        assert await ended(silent)
        assert await ended(slow)
        assert listener.connections == 0


async def test_who_does_not_read_its_answers_costs_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe_stream, "ANSWERS_PER_S", 1_000_000)
    async with echo() as (listener, _):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, (HERE, listener.endpoint.port))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                await loop.sock_sendall(peer, GOOD * 20_000)
        await until(lambda: not listener.connections)
        peer.close()


async def test_a_shortage_of_descriptors_does_not_spin_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_probes, "ACCEPT_PAUSE_S", 0.1)
    async with echo() as (listener, _):
        peer = socket.socket()
        peer.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            await asyncio.get_running_loop().sock_connect(peer, (HERE, listener.endpoint.port))
            spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            await asyncio.sleep(0.15)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - spent < 0.1
            assert listener.connections == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: listener.connections == 1)
        peer.close()
