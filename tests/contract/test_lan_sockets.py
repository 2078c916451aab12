"""Sockets of the paths: a quiet one is quiet, a silent one is made anew, addresses change."""

import asyncio
import contextlib
import errno
import resource
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

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
    unicast_publisher,
    unicast_subscriber,
)
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.lan import mending
from unisono.lan.datagrams import UdpLink
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.paths import BeaconPublisher, Endpoint
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.lan.tcp_probes import TcpProbeListener
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


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """This process may open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["tcp", "udp-unicast", "udp"])
async def test_a_shortage_of_descriptors_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 1)
    kind = make_kind(name)
    place = kind.place()
    publisher, subscriber = kind.publisher(place), kind.subscriber(place, silence_s=0.1)
    async with publishing(publisher), listening(subscriber) as batches:
        await heard(publisher, b"before", batches)
        with no_descriptors():
            publisher.renew()
            subscriber.renew()
            publisher.send(b"during")
            publisher.send(b"during")
        await heard(publisher, b"after", batches)


async def test_a_path_that_cannot_open_a_socket_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise zmq.ZMQError(errno.EMFILE)

    monkeypatch.setattr(zmq.Context, "socket", refuse)
    place = Endpoint(HOST, free_port())
    for opening in (
        TcpPublisher(lambda: place).open(),
        TcpSubscriber(place).open(lambda _: None),
    ):
        with pytest.raises(LanError, match=r"^cannot open a TCP socket: Too many open files$"):
            await opening


@pytest.mark.parametrize("name", ["udp-unicast", "udp"])
async def test_a_kernel_without_stamps_and_marks_will_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(socket.socket):
        def setsockopt(self, level: int, option: int, *value: Any) -> None:
            optional = {(socket.SOL_SOCKET, 35), (socket.SOL_SOCKET, 37), (socket.IPPROTO_IP, 49)}
            if (level, option) in optional | {(socket.IPPROTO_IP, socket.IP_TOS)}:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            super().setsockopt(level, option, *value)

    monkeypatch.setattr(socket, "socket", Plain)
    kind = make_kind(name)
    place = kind.place()
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(kind.subscriber(place)) as batches,
    ):
        before_ns = own_ns()
        await heard(publisher, b"plain", batches)
        assert before_ns <= batches[0].frames[0].received_ns <= own_ns()
    with (
        contextlib.closing(UdpLink(HOST, stamp_sends=True)) as link,
        contextlib.closing(TcpProbeListener(HOST)),
    ):
        assert link.send(b"x", link.endpoint)
        assert link.left_ns is None


async def test_a_firewall_is_told_of_once_and_counted_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 1)
    caplog.set_level("INFO")

    class Walled(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    place = make_kind("udp").place()
    publisher = UdpPublisher(lambda: place)
    with monkeypatch.context() as firewall:
        firewall.setattr(socket, "socket", Walled)
        await publisher.open()
        for _ in range(5):
            assert not publisher.send(b"walled in")
        assert publisher.restarts == 0
        publisher.renew()
        assert not publisher.send(b"walled in")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(publisher.close)
        for _ in range(3):
            assert publisher.send(b"free")
    assert publisher.restarts == 1
    trouble = "beacons by udp: cannot send: Operation not permitted; trying again"
    assert caplog.messages == [trouble, "beacons by udp: set up again"]


async def test_a_follower_asks_from_its_own_address_and_waits_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 1)
    place, own = make_kind("udp-unicast").place(), list[str]()

    def address() -> str:
        if not own:
            raise InterfaceUnknown("no such interface")
        return own[0]

    publisher = unicast_publisher(place)
    async with (
        publishing(publisher),
        listening(unicast_subscriber(place, address=address)) as batches,
    ):
        await asyncio.sleep(0.05)
        assert not publisher.listeners
        own.append("127.0.0.3")
        await heard(publisher, b"here", batches)
        assert [listener.address for listener in publisher.listeners] == own
