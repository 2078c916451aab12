"""A LAN in memory: the same interfaces as the real paths, with seeded delay and loss."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from unisono.clock import own_ns
from unisono.core.units import OwnNs, ns_to_s
from unisono.lan.datagrams import DeliverDatagram
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.memory_delays import Delays, simple_delays
from unisono.lan.paths import (
    Batch,
    Deliver,
    Endpoint,
    Frame,
    Multicast,
    WhereMulticast,
    WhereToListen,
)

PATH = "memory"
MULTICAST_PATH = "memory-multicast"


class MemoryNetwork:
    """One LAN: every frame takes ``delay_s`` plus an exponential ``jitter_s``, or is lost.

    ``delays``, when given, decides instead; it is asked once for each receiver.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        loss: float = 0.0,
        delays: Delays | None = None,
    ) -> None:
        self._delays = delays or simple_delays(seed, delay_s, jitter_s, loss)
        self._next_port = 50_000
        self.publishers: dict[Endpoint, MemoryPublisher] = {}
        self.subscribers: set[MemorySubscriber] = set()
        self.members: set[MemoryMulticastSubscriber] = set()
        self.links: dict[Endpoint, MemoryLink] = {}

    def carry(self, arrive: Callable[[], None], size_bytes: int, *, multicast: bool) -> None:
        """Let ``arrive`` happen at the other end: once, or as often as the network delivers."""
        now_ns = own_ns()
        loop = asyncio.get_running_loop()
        for at_ns in self._delays(now_ns, size_bytes, multicast):
            loop.call_later(ns_to_s(at_ns - now_ns), arrive)

    def carry_frame(
        self, data: bytes, sender: str, to: "Sequence[_Receiving]", *, multicast: bool
    ) -> None:
        """Carry a beacon to each of them; it is stamped where it arrives."""
        for receiver in to:
            arrive = partial(receiver.arrive, Frame(data, sender, OwnNs(0)))
            self.carry(arrive, len(data), multicast=multicast)

    def arrive_at(self, to: Endpoint, data: bytes, sender: Endpoint) -> None:
        """A datagram reaches ``to``, if anything listens there."""
        if (link := self.links.get(to)) is not None:
            link.arrive(data, sender, own_ns())

    def free_port(self) -> int:
        """A port that nothing has used yet."""
        self._next_port += 1
        return self._next_port


class MemoryMulticastPublisher:
    """Twin of `unisono.lan.udp.UdpPublisher`."""

    path = MULTICAST_PATH
    restarts = 0

    def __init__(self, network: MemoryNetwork, where: WhereMulticast) -> None:
        self._network = network
        self._where = where
        self._to: Multicast | None = None

    async def open(self) -> None:
        """Find out where to send."""
        self._to = self._where()

    def send(self, frame: bytes) -> bool:
        """To every member of the group."""
        if self._to is None:
            return False
        hearers = [m for m in self._network.members if m.hears(self._to)]
        self._network.carry_frame(frame, self._to.interface, hearers, multicast=True)
        return True

    def renew(self) -> None:
        """Ask again where to send."""
        if self._to is not None:
            with contextlib.suppress(LanError):
                self._to = self._where()

    async def close(self) -> None:
        """Send no more."""
        self._to = None


class _Receiving:
    """What the two subscribers share."""

    path = PATH
    restarts = 0

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._deliver: Deliver | None = None

    def verified(self) -> None:
        """Nothing: there is no socket to mend."""

    def arrive(self, frame: Frame) -> None:
        """A frame has come, and is stamped."""
        if self._deliver is not None:
            self._deliver(Batch((frame._replace(received_ns=own_ns()),), self.path))


class MemoryMulticastSubscriber(_Receiving):
    """Twin of `unisono.lan.udp.UdpSubscriber`."""

    path = MULTICAST_PATH
    on_demand = False

    def __init__(self, network: MemoryNetwork, where: WhereMulticast) -> None:
        super().__init__(network)
        self._where = where
        self._joined: Multicast | None = None

    async def open(self, deliver: Deliver) -> None:
        """Join."""
        self._deliver = deliver
        self._joined = self._where()
        self._network.members.add(self)

    def want(self, wanted: bool) -> None:
        """Nothing."""

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Nothing."""

    def renew(self) -> None:
        """Join anew."""
        if self._deliver is not None:
            with contextlib.suppress(LanError):
                self._joined = self._where()

    async def close(self) -> None:
        """Leave."""
        self._deliver = self._joined = None
        self._network.members.discard(self)

    def hears(self, where: Multicast) -> bool:
        """Whether what is sent there comes here."""
        joined = self._joined
        return joined is not None and (joined.group, joined.port) == (where.group, where.port)


class MemoryPublisher:
    """Twin of the publishers on demand."""

    path = PATH
    restarts = 0

    def __init__(self, network: MemoryNetwork, where: WhereToListen) -> None:
        self._network = network
        self._where = where
        self._endpoint: Endpoint | None = None

    async def open(self) -> None:
        """Take the endpoint."""
        where = self._where()
        if where in self._network.publishers:
            raise AddressInUse(
                f"TCP port {where.port} is in use: set UNISONO_BEACON_PORT to a free one"
            )
        self._network.publishers[where] = self
        self._endpoint = where

    def send(self, frame: bytes) -> bool:
        """To every subscriber that wants what this endpoint sends."""
        if self._endpoint is None:
            return False
        hearers = [s for s in self._network.subscribers if s.wants(self._endpoint)]
        self._network.carry_frame(frame, self._endpoint.address, hearers, multicast=False)
        return True

    def renew(self) -> None:
        """Take another endpoint if the address has changed and is free."""
        with contextlib.suppress(LanError):
            where = self._where()
            if self._endpoint is not None and where not in self._network.publishers:
                del self._network.publishers[self._endpoint]
                self._network.publishers[where] = self
                self._endpoint = where

    async def close(self) -> None:
        """Release the endpoint."""
        if self._endpoint is not None:
            del self._network.publishers[self._endpoint]
            self._endpoint = None


class MemorySubscriber(_Receiving):
    """Twin of the subscribers on demand; it hears the leader, and any of ``standby``."""

    on_demand = True

    def __init__(
        self, network: MemoryNetwork, leader: Endpoint | None, standby: Sequence[Endpoint] = ()
    ) -> None:
        super().__init__(network)
        self._leader = leader
        self._standby = frozenset(standby)
        self._wanted = False

    async def open(self, deliver: Deliver) -> None:
        """Connect."""
        self._deliver = deliver
        self._network.subscribers.add(self)

    def want(self, wanted: bool) -> None:
        """Hear from now on, or no more."""
        self._wanted = wanted and self._deliver is not None

    def follow(self, leader: Endpoint | None, term: int) -> None:  # noqa: ARG002 - bytes have none
        """Hear another leader; the last one is one of the others then."""
        if self._leader is not None:
            self._standby |= {self._leader}
        self._leader = leader

    def renew(self) -> None:
        """Nothing: there is no socket."""

    async def close(self) -> None:
        """Disconnect."""
        self._deliver = None
        self._wanted = False
        self._network.subscribers.discard(self)

    def wants(self, sender: Endpoint) -> bool:
        """Whether what is sent there shall come here."""
        return self._wanted and (sender == self._leader or sender in self._standby)


class MemoryLink:
    """Twin of `unisono.lan.datagrams.UdpLink`."""

    def __init__(self, network: MemoryNetwork, address: str, port: int = 0) -> None:
        self._network = network
        self._deliver: DeliverDatagram | None = None
        self.endpoint = Endpoint(address, port or network.free_port())
        if self.endpoint in network.links:
            raise AddressInUse(f"UDP port {port} is in use: set UNISONO_PROBE_PORT to a free one")
        network.links[self.endpoint] = self

    left_ns = None  # nothing tells

    def read(self, at_most: int) -> None:
        """Nothing: it is never held."""

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start delivering."""
        self._deliver = deliver

    def send(self, data: bytes, to: Endpoint) -> bool:
        """One datagram; nobody there is no error, as with UDP."""
        if self._network.links.get(self.endpoint) is not self:
            return False
        arrive = partial(self._network.arrive_at, to, data, self.endpoint)
        self._network.carry(arrive, len(data), multicast=False)
        return True

    def close(self) -> None:
        """Stop."""
        self._deliver = None
        if self._network.links.get(self.endpoint) is self:
            del self._network.links[self.endpoint]

    def arrive(self, data: bytes, sender: Endpoint, at_ns: OwnNs) -> None:
        """A datagram has come."""
        if self._deliver is not None:
            self._deliver(data, sender, at_ns)
