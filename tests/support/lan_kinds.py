"""The kinds of beacon paths under one contract: how to make each one's two ends."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.beacon_process import free_port
from tests.support.waiting import until
from unisono.lan.memory import (
    MemoryMulticastPublisher,
    MemoryMulticastSubscriber,
    MemoryNetwork,
    MemoryPublisher,
    MemorySubscriber,
)
from unisono.lan.paths import (
    Batch,
    BeaconPublisher,
    BeaconSubscriber,
    Endpoint,
    Frame,
    Multicast,
)
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.lan.udp import UdpPublisher, UdpSubscriber
from unisono.lan.unicast import UnicastPublisher, UnicastSubscriber
from unisono.wire import KeyRing, Refused

HOST = "127.0.0.1"
GROUP = "239.192.76.9"
SECRET = b"secret" * 4
TERM = 4
MEMBERS = ("leader", "other", *(f"follower-{number}" for number in range(4)))

_followers = itertools.cycle(MEMBERS[2:])


def ring(term: int = TERM, session: str = "session") -> KeyRing:
    """One device's keys."""
    return KeyRing(SECRET, session, term)


@dataclass(frozen=True)
class Kind:
    """One kind of path. A place is where it sends: a group, or a publisher's endpoint."""

    name: str
    on_demand: bool
    place: Callable[[], Any]
    publisher: Callable[..., BeaconPublisher]
    subscriber: Callable[..., BeaconSubscriber]


def unicast_publisher(where: Endpoint, term: int = TERM) -> UnicastPublisher:
    """A master of the session."""

    def refused(_: Refused, sender: Endpoint) -> None:
        assert sender.port

    keys = ring(term)
    return UnicastPublisher(lambda: where, keys, term=term, members=MEMBERS, on_refused=refused)


def unicast_subscriber(
    leader: Endpoint | None,
    standby: Sequence[Endpoint] = (),
    *,
    silence_s: float = 0.2,
    address: Callable[[], str] = lambda: HOST,
) -> UnicastSubscriber:
    """One of the followers."""
    return UnicastSubscriber(
        next(_followers),
        ring(),
        clock_id=b"12345678",
        leader=leader,
        term=TERM,
        standby=standby,
        address=address,
        silence_s=silence_s,
    )


def group(port: int | None = None, address: str = GROUP) -> Multicast:
    """A group on loopback."""
    return Multicast(HOST, address, port or free_port(socket.SOCK_DGRAM))


def make_kind(name: str) -> Kind:
    """The kind of that name; those in memory on a network of their own."""
    network = MemoryNetwork(seed=1, delay_s=0.001, jitter_s=0.001)

    def endpoint() -> Endpoint:
        return Endpoint(HOST, free_port())

    def for_term(make: Callable[[Callable[[], Endpoint]], BeaconPublisher]) -> Any:
        return lambda where, _term=TERM: make(lambda: where)

    kinds = (
        Kind(
            "tcp",
            True,
            endpoint,
            for_term(TcpPublisher),
            lambda *places, silence_s=0.1: TcpSubscriber(*places, silence_s=silence_s),
        ),
        Kind(
            "udp-unicast",
            True,
            lambda: Endpoint(HOST, free_port(socket.SOCK_DGRAM)),
            unicast_publisher,
            unicast_subscriber,
        ),
        Kind(
            "memory",
            True,
            endpoint,
            for_term(lambda where: MemoryPublisher(network, where)),
            lambda *places: MemorySubscriber(network, *places),
        ),
        Kind(
            "udp",
            False,
            group,
            lambda where, _term=TERM: UdpPublisher(lambda: where),
            lambda where, _standby=(), silence_s=1.0: UdpSubscriber(
                lambda: where, silence_s=silence_s
            ),
        ),
        Kind(
            "memory-multicast",
            False,
            group,
            lambda where: MemoryMulticastPublisher(network, lambda: where),
            lambda where: MemoryMulticastSubscriber(network, lambda: where),
        ),
    )
    return next(kind for kind in kinds if kind.name == name)


@contextlib.asynccontextmanager
async def publishing(publisher: BeaconPublisher) -> AsyncIterator[BeaconPublisher]:
    """``publisher``, open."""
    await publisher.open()
    try:
        yield publisher
    finally:
        await publisher.close()


@contextlib.asynccontextmanager
async def listening(
    subscriber: BeaconSubscriber, *, wanted: bool = True, verified: bool = True
) -> AsyncIterator[list[Batch]]:
    """What ``subscriber`` hears; ``verified``: it is told that all of it is the master's."""
    batches: list[Batch] = []

    def take(batch: Batch) -> None:
        batches.append(batch)
        if verified:
            subscriber.verified()

    await subscriber.open(take)
    subscriber.want(wanted)
    try:
        yield batches
    finally:
        await subscriber.close()


def frames(batches: Sequence[Batch]) -> list[Frame]:
    """All of them in order."""
    return [frame for batch in batches for frame in batch.frames]


def texts(batches: Sequence[Batch]) -> list[bytes]:
    """Their bytes."""
    return [frame.data for frame in frames(batches)]


async def heard(publisher: BeaconPublisher, text: bytes, batches: list[Batch]) -> None:
    """Send until it arrives."""

    def arrived() -> bool:
        if text in texts(batches):
            return True
        publisher.send(text)
        return False

    await until(arrived)


async def silent(publisher: BeaconPublisher, batches: list[Batch]) -> None:
    """Return once a tenth of a second's sending brought nothing."""

    async def brings_nothing() -> bool:
        batches.clear()
        for _ in range(10):
            publisher.send(b"unwanted")
            await asyncio.sleep(0.01)
        return not batches

    async with asyncio.timeout(5):
        while not await brings_nothing():
            pass
