"""Sockets of the paths: a quiet one is quiet, a silent one is made anew, addresses change."""

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.beacon_process import free_port
from tests.support.lan_kinds import (
    HOST,
    MEMBERS,
    TERM,
    heard,
    listening,
    make_kind,
    publishing,
    ring,
    silent,
)
from tests.support.waiting import until
from unisono.lan import mending
from unisono.lan.paths import BeaconPublisher, Endpoint
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.lan.udp import UdpPublisher, UdpSubscriber
from unisono.lan.unicast import UnicastPublisher


async def test_a_silent_subscriber_opens_its_sockets_anew() -> None:
    endpoint, group = Endpoint(HOST, free_port()), make_kind("udp").place()
    over_tcp = TcpSubscriber(endpoint, silence_s=0.05)
    over_udp = UdpSubscriber(lambda: group, silence_s=0.05)
    async with (
        listening(over_tcp) as by_tcp,
        listening(over_udp) as by_udp,
    ):
        await until(lambda: over_tcp.restarts >= 2 and over_udp.restarts >= 2)
        async with (
            publishing(TcpPublisher(lambda: endpoint)) as tcp,
            publishing(UdpPublisher(lambda: group)) as udp,
        ):
            await heard(tcp, b"there", by_tcp)
            await heard(udp, b"there", by_udp)


@contextlib.contextmanager
def counting_relay(to: Endpoint, count: list[int]) -> Iterator[Endpoint]:
    """A relay for one TCP connection; ``count`` gets the sizes of what passes from ``to``."""

    def relay() -> None:
        here, _ = door.accept()
        with here, socket.create_connection((to.address, to.port)) as there:
            other = {here: there, there: here}
            while True:
                for end in select.select((here, there), (), ())[0]:
                    with contextlib.suppress(OSError):
                        if data := end.recv(4096):
                            if end is there:
                                count.append(len(data))
                            other[end].sendall(data)
                            continue
                    return

    with socket.create_server((HOST, 0)) as door:
        thread = threading.Thread(target=relay)
        thread.start()
        yield Endpoint(*door.getsockname()[:2])
        thread.join()


async def test_a_connection_that_is_not_wanted_carries_nothing() -> None:
    endpoint, passed = Endpoint(HOST, free_port()), list[int]()
    async with (
        publishing(TcpPublisher(lambda: endpoint)) as publisher,
    ):
        with counting_relay(endpoint, passed) as door:
            subscriber = TcpSubscriber(door)
            async with listening(subscriber, wanted=False) as batches:
                await until(lambda: sum(passed) >= 64)  # greeted
                await silent(publisher, batches)
                greeting = list(passed)
                for _ in range(20):
                    publisher.send(b"unwanted")
                    await asyncio.sleep(0.005)
                assert passed == greeting
                subscriber.want(True)
                await heard(publisher, b"wanted", batches)
                assert len(passed) > len(greeting)


@pytest.mark.parametrize("name", ["tcp", "udp-unicast"])
async def test_a_publisher_moves_with_its_address(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 1)
    kind, port = make_kind(name), free_port()
    # No address of this machine, two of them, and none again.
    way = [Endpoint(address, port) for address in ("192.0.2.9", HOST, "127.0.0.2", "192.0.2.9")]
    where = way[:1]
    publisher: BeaconPublisher = (
        TcpPublisher(lambda: where[0])
        if name == "tcp"
        else UnicastPublisher(
            lambda: where[0], ring(), term=TERM, members=MEMBERS, on_refused=lambda *_: None
        )
    )
    async with publishing(publisher):
        assert not publisher.send(b"nowhere")
        for number, place in enumerate(way[1:3]):
            where[0] = place
            publisher.renew()
            async with listening(kind.subscriber(place)) as batches:
                await heard(publisher, b"here", batches)
            assert publisher.restarts == 0, number
        where[0] = way[3]
        publisher.renew()
        assert not publisher.send(b"nowhere")
        where[0] = way[2]
        async with listening(kind.subscriber(way[2])) as batches:
            await heard(publisher, b"by itself", batches)
        assert publisher.restarts == 1
