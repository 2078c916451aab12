"""Beacons as plain datagrams: groups, strange datagrams, and a LAN that changes."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.lan_kinds import (
    HOST,
    group,
    heard,
    listening,
    make_kind,
    publishing,
    texts,
    unicast_publisher,
)
from tests.support.own_network import in_own_network, ip
from tests.support.waiting import until
from unisono.lan import mending
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.interface import resolve_interface
from unisono.lan.paths import READ_AT_ONCE, Multicast
from unisono.lan.udp import UdpPublisher, UdpSubscriber


async def test_two_groups_on_one_port_do_not_hear_each_other() -> None:
    one = group()
    other = replace(one, group="239.192.76.10")
    kind = make_kind("udp")
    async with (
        listening(kind.subscriber(one)) as by_one,
        listening(kind.subscriber(other)) as by_other,
        publishing(kind.publisher(one)) as to_one,
        publishing(kind.publisher(other)) as to_other,
    ):
        await heard(to_one, b"one", by_one)
        await heard(to_other, b"other", by_other)
        assert set(texts(by_one)) == {b"one"}
        assert set(texts(by_other)) == {b"other"}


@pytest.mark.parametrize(
    ("interface", "address", "port"),
    [("eth0", "239.1.2.3", 9), (HOST, "10.0.0.1", 9), (HOST, "239.1.2.3", 0), (HOST, "x.org", 9)],
)
async def test_what_is_no_group_is_one_sentence(interface: str, address: str, port: int) -> None:
    where = Multicast(interface, address, port)
    for path in (UdpPublisher(lambda: where), UdpSubscriber(lambda: where)):
        with pytest.raises(LanError, match=r"multicast cannot be used: .*UNISONO_MULTICAST_GROUP$"):
            await (path.open() if isinstance(path, UdpPublisher) else path.open(lambda _: None))


@pytest.mark.parametrize(
    "error", [InterfaceUnknown("no such interface"), OSError("no such interface seen")]
)
async def test_a_path_waits_for_its_address(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 1)
    place, there = group(), list[bool]()

    def where() -> Multicast:
        if not there:
            raise error
        return place

    publisher, subscriber = UdpPublisher(where), UdpSubscriber(where, silence_s=0.02)
    async with publishing(publisher), listening(subscriber) as batches:
        for _ in range(5):
            assert not publisher.send(b"away")
        await until(lambda: not subscriber.restarts)
        there.append(True)
        await heard(publisher, b"here", batches)
        assert publisher.restarts == 1
    away = [text for text in caplog.messages if "no such interface" in text]
    assert len(away) == 2  # one line each


async def test_strange_datagrams_harm_no_port() -> None:
    multicast, unicast = make_kind("udp"), make_kind("udp-unicast")
    place, leader = multicast.place(), unicast.place()
    follower, master = unicast.subscriber(leader), unicast_publisher(leader)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
        async with (
            listening(multicast.subscriber(place)) as by_group,
            listening(follower) as by_lease,
            publishing(multicast.publisher(place)) as to_group,
            publishing(master) as to_lease,
        ):
            await heard(to_lease, b"first", by_lease)
            (port_of_follower,) = master.listeners
            for to in (place, leader, port_of_follower):
                address = to.group if isinstance(to, Multicast) else to.address
                for data in (b"", b"x", bytes(80), b"UP" + bytes(78), bytes(9000)):
                    stranger.sendto(data, (address, to.port))
            for _ in range(2_000):  # more than the kernel keeps
                stranger.sendto(b"noise", (place.group, place.port))
            await heard(to_group, b"group", by_group)
            await heard(to_lease, b"lease", by_lease)
            # What is no beacon is handed on, cut short, for its judge to refuse and count.
            assert max(map(len, texts(by_group))) == 512
            assert max(len(batch.frames) for batch in by_group) == READ_AT_ONCE


def lay_cable(address: str) -> None:
    """Lay ``lan0`` anew, with that address; its other end is ``lan1``."""
    ip("link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    ip("addr", "add", f"{address}/24", "dev", "lan0")
    for name in ("lan0", "lan1"):
        ip("link", "set", name, "up")


def by_name(port: int) -> Callable[[], Multicast]:
    """The group by whatever address lan0 has now."""
    return lambda: Multicast(resolve_interface("lan0"), "239.192.76.9", port)


@pytest.mark.root
def test_an_interface_may_go_and_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mending, "RETRY_NS", 20_000_000)

    async def play() -> None:
        lay_cable("10.76.9.1")
        publisher, subscriber = (
            UdpPublisher(by_name(7603)),
            UdpSubscriber(by_name(7603), silence_s=0.1),
        )
        async with publishing(publisher), listening(subscriber) as batches:
            await heard(publisher, b"before", batches)
            ip("link", "del", "lan0")
            await until(lambda: not publisher.send(b"away"))
            await asyncio.sleep(0.15)
            assert not publisher.send(b"away")
            lay_cable("10.76.9.1")
            await heard(publisher, b"after", batches)
            assert publisher.restarts == 1

    in_own_network(play)


@pytest.mark.root
def test_an_address_may_change() -> None:
    async def play() -> None:
        lay_cable("10.76.9.1")
        publisher, subscriber = UdpPublisher(by_name(7603)), UdpSubscriber(by_name(7603))
        async with publishing(publisher), listening(subscriber) as batches:
            await heard(publisher, b"before", batches)
            ip("addr", "add", "10.76.9.2/24", "dev", "lan0")
            ip("addr", "del", "10.76.9.1/24", "dev", "lan0")
            ip("addr", "replace", "10.76.9.2/24", "dev", "lan0")
            publisher.renew()
            subscriber.renew()
            await heard(publisher, b"after", batches)
            assert {f.sender for b in batches for f in b.frames if f.data == b"after"} == {
                "10.76.9.2"
            }

    in_own_network(play)


@pytest.mark.root
def test_joining_anew_tells_the_switch() -> None:
    async def play() -> None:
        lay_cable("10.76.9.1")
        with contextlib.closing(
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        ) as switch:
            switch.bind(("lan1", 0x0800))
            switch.setblocking(False)
            reports: list[bytes] = []

            def reported() -> bool:
                with contextlib.suppress(BlockingIOError):
                    while packet := switch.recv(2048):
                        if packet[9] == socket.IPPROTO_IGMP and b"\xef\xc0\x4c\x09" in packet:
                            reports.append(packet)
                return bool(reports)

            subscriber = UdpSubscriber(by_name(7603), silence_s=0.1)
            async with listening(subscriber):
                await until(reported)
                restarts = subscriber.restarts
                reports.clear()
                await until(lambda: subscriber.restarts > restarts)
                await until(reported)

    in_own_network(play)
