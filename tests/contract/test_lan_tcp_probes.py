"""Probes over TCP on loopback: the same client and responder as over datagrams."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.probe_peers import GOOD, HERE, Heard, connect, echo, ended
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.core.samples import ProbeSample
from unisono.core.units import NS_PER_S
from unisono.lan import probe_stream, tcp_probes
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.paths import Endpoint
from unisono.lan.probes import ProbeClient, ProbeResponder
from unisono.lan.tcp_probes import TcpProbeLink, TcpProbeListener
from unisono.wire import KeyRing
from unisono.wire.probe import PROBE_BYTES
from unisono.wire.refusal import Refused

KEYS = KeyRing(bytes(32), "session-1", 1)


@contextlib.contextmanager
def asking() -> Iterator[tuple[TcpProbeLink, Heard]]:
    link = TcpProbeLink()
    heard: Heard = []
    link.listen(lambda *what: heard.append(what))
    try:
        yield link, heard
    finally:
        link.close()


async def test_client_and_responder_work_as_over_datagrams() -> None:
    samples: list[ProbeSample] = []
    refused: list[str] = []

    def refuse(why: Refused, whom: Endpoint) -> None:
        refused.append(f"{why.reason} {whom.address}")

    listener = TcpProbeListener(HERE)
    responder = ProbeResponder(listener, KEYS, term=3, device_id="one", on_refused=refuse)
    client = ProbeClient(
        TcpProbeLink(HERE), KEYS, device_id="two", on_sample=samples.append, on_refused=refuse
    )
    try:
        assert not client.ask(listener.endpoint, "one", 3)  # it is not connected yet
        await until(lambda: client.ask(listener.endpoint, "one", 3))
        await until(lambda: samples)
        stamps = samples[0]
        in_order = [stamps.own_sent_ns, stamps.master_received_ns, stamps.master_sent_ns]
        assert sorted(in_order) == in_order
        assert stamps.master_sent_ns <= stamps.own_received_ns <= own_ns()
        assert client.ask(listener.endpoint, "one", 4)
        await until(lambda: refused)
        assert refused == [f"wrong_master {HERE}"]
        assert client.ask(listener.endpoint, "one", 3)
        await until(lambda: responder.answered == 2)
        assert listener.connections == 1
    finally:
        client.close()
        responder.close()


async def test_messages_are_cut_out_of_the_stream_wherever_it_breaks() -> None:
    async with echo() as (listener, heard):
        peer, loop = await connect(listener.endpoint), asyncio.get_running_loop()
        stream = GOOD * 3
        for start, stop in ((0, 1), (1, 79), (79, 161), (161, 240)):
            await loop.sock_sendall(peer, stream[start:stop])
            await until(lambda stop=stop: len(heard) == stop // PROBE_BYTES)  # type: ignore[misc]
        answers = b""
        async with asyncio.timeout(5):
            while len(answers) < len(stream):
                answers += await loop.sock_recv(peer, 4096)
        assert answers == stream
        assert {asker for _, asker, _ in heard} == {Endpoint(*peer.getsockname())}
        peer.close()
        await until(lambda: not listener.connections)


async def test_a_stamp_is_the_kernels_not_the_readers() -> None:
    async with echo() as (listener, heard):
        peer = await connect(listener.endpoint)
        await until(lambda: listener.connections)
        before_ns = own_ns()
        peer.send(GOOD)
        sent_ns = own_ns()
        while own_ns() < sent_ns + NS_PER_S // 20:  # this process is busy with something else
            pass
        await until(lambda: heard)
        assert before_ns <= heard[0][2] <= sent_ns + NS_PER_S // 50
        peer.close()


async def test_a_follower_finds_a_master_that_comes_late_and_comes_again() -> None:
    async with echo() as (listener, _):
        whom = listener.endpoint
    with asking() as (link, heard):
        assert not link.send(GOOD, whom)
        await asyncio.sleep(0.05)
        assert not link.send(GOOD, whom)
        for _ in range(2):
            async with echo(whom.port):
                await until(lambda: link.send(GOOD, whom) and heard)
            heard.clear()


async def test_two_addresses_of_a_master_may_be_asked_in_turn() -> None:
    async with echo() as (one, _), echo() as (two, _):
        with asking() as (link, heard):
            for where in (one.endpoint, two.endpoint) * 3:
                await until(lambda where=where: link.send(GOOD, where))  # type: ignore[misc]
            await until(lambda: len(heard) == 6)
            assert (one.connections, two.connections) == (1, 1)
            assert {peer for _, peer, _ in heard} == {one.endpoint, two.endpoint}
            for last_octet in range(2, 9):
                link.send(GOOD, Endpoint(f"127.0.0.{last_octet}", 9))
            await until(lambda: (one.connections, two.connections) == (0, 0))


async def test_a_master_that_stalls_is_left_and_asked_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (tcp_probes, probe_stream):
        monkeypatch.setattr(module, "STALLED_NS", NS_PER_S // 10)
    with socket.create_server((HERE, 0)) as server, asking() as (link, _):
        whom = Endpoint(*server.getsockname())
        server.settimeout(5)
        await until(lambda: link.send(GOOD, whom))
        first, _ = server.accept()
        await asyncio.sleep(0.12)
        assert not link.send(GOOD, whom)
        await until(lambda: link.send(GOOD, whom))
        second, _ = server.accept()
        assert await ended(first)
        second.close()


async def test_who_answers_unasked_is_no_master() -> None:
    with socket.create_server((HERE, 0)) as server, asking() as (link, heard):
        server.settimeout(5)
        whom = Endpoint(*server.getsockname())
        await until(lambda: link.send(GOOD, whom))
        peer, _ = server.accept()
        peer.sendall(GOOD * 50)
        peer.setblocking(False)
        assert await ended(peer)
        assert len(heard) == 1


async def test_a_port_in_use_and_an_address_of_others_are_one_sentence() -> None:
    async with echo() as (listener, _):
        with pytest.raises(AddressInUse, match="UNISONO_PROBE_PORT"):
            TcpProbeListener(HERE, listener.endpoint.port)
    with pytest.raises(LanError, match=r"203\.0\.113\.9"):
        TcpProbeListener("203.0.113.9")
    link = TcpProbeLink("203.0.113.9")
    assert not link.send(GOOD, Endpoint(HERE, 9))
    link.listen(lambda *_: None)
    assert not link.send(GOOD, Endpoint(HERE, 9))
    link.close()
