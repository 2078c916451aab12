"""A LAN in memory: the same interfaces as the real paths, with seeded delay and loss."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial

from unisono.clock import own_ns
from unisono.core.units import OwnNs
from unisono.lan.datagrams import DeliverDatagram
from unisono.lan.errors import AddressInUse
from unisono.lan.paths import Batch, Deliver, Endpoint

PATH = "memory"


class MemoryNetwork:
    """One LAN: every frame takes ``delay_s`` plus an exponential ``jitter_s``, or is lost."""

    def __init__(
        self, *, seed: int = 0, delay_s: float = 0.0, jitter_s: float = 0.0, loss: float = 0.0
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a repeatable network, no secret
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._loss = loss
        self._next_port = 50_000
        self.publishers: dict[Endpoint, MemoryPublisher] = {}
        self.subscribers: set[MemorySubscriber] = set()
        self.links: dict[Endpoint, MemoryLink] = {}

    def carry(self, arrive: Callable[[], None]) -> None:
        """Let ``arrive`` happen at the other end, or not."""
        if self._random.random() < self._loss:
            return
        late_s = self._random.expovariate(1 / self._jitter_s) if self._jitter_s else 0.0
        asyncio.get_running_loop().call_later(self._delay_s + late_s, arrive)

    def arrive_at(self, to: Endpoint, data: bytes, sender: Endpoint) -> None:
        """A datagram reaches ``to``, if anything listens there."""
        if (link := self.links.get(to)) is not None:
            link.arrive(data, sender, own_ns())

    def free_port(self) -> int:
        """A port that nothing has used yet."""
        self._next_port += 1
        return self._next_port


class MemoryPublisher:
    """Twin of the publishers."""

    path = PATH
    restarts = 0

    def __init__(self, network: MemoryNetwork, endpoint: Endpoint) -> None:
        self._network = network
        self._endpoint = endpoint

    async def open(self) -> None:
        """Take the endpoint."""
        if self._endpoint in self._network.publishers:
            raise AddressInUse(
                f"TCP port {self._endpoint.port} is in use: set UNISONO_BEACON_PORT to a free one"
            )
        self._network.publishers[self._endpoint] = self

    def send(self, frame: bytes) -> bool:
        """To every subscriber of this endpoint."""
        if self._network.publishers.get(self._endpoint) is not self:
            return False
        for subscriber in tuple(self._network.subscribers):
            if self._endpoint in subscriber.endpoints:
                self._network.carry(partial(subscriber.arrive, frame))
        return True

    async def close(self) -> None:
        """Release the endpoint."""
        if self._network.publishers.get(self._endpoint) is self:
            del self._network.publishers[self._endpoint]


class MemorySubscriber:
    """Twin of the subscribers."""

    path = PATH
    restarts = 0

    def __init__(
        self, network: MemoryNetwork, leader: Endpoint, standby: Sequence[Endpoint] = ()
    ) -> None:
        self._network = network
        self._deliver: Deliver | None = None
        self.endpoints = frozenset((leader, *standby))

    async def open(self, deliver: Deliver) -> None:
        """Join."""
        self._deliver = deliver
        self._network.subscribers.add(self)

    async def close(self) -> None:
        """Leave."""
        self._deliver = None
        self._network.subscribers.discard(self)

    def arrive(self, frame: bytes) -> None:
        """A frame has come."""
        if self._deliver is not None:
            self._deliver(Batch((frame,), own_ns(), PATH))


class MemoryLink:
    """Twin of `unisono.lan.datagrams.UdpLink`."""

    def __init__(self, network: MemoryNetwork, address: str, port: int = 0) -> None:
        self._network = network
        self._deliver: DeliverDatagram | None = None
        self.endpoint = Endpoint(address, port or network.free_port())
        if self.endpoint in network.links:
            raise AddressInUse(f"UDP port {port} is in use: set UNISONO_PROBE_PORT to a free one")
        network.links[self.endpoint] = self

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start delivering."""
        self._deliver = deliver

    def send(self, data: bytes, to: Endpoint) -> bool:
        """One datagram; nobody there is no error, as with UDP."""
        if self._network.links.get(self.endpoint) is not self:
            return False
        self._network.carry(lambda: self._network.arrive_at(to, data, self.endpoint))
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
