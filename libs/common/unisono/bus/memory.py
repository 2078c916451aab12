"""A bus in memory: the same interface, the same bytes, no sockets."""

import asyncio
from collections.abc import Iterable

from unisono.bus.ports import Publisher, Subscriber
from unisono.bus.topics import Owner, Topic
from unisono.core.errors import UserError


class MemoryBus:
    """One device's bus inside one event loop."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        self.owners: set[Owner] = set()

    def publisher(self, owner: Owner) -> "MemoryPublisher":
        """A publisher of ``owner``'s topics; UserError while another one holds them."""
        if owner in self.owners:
            raise UserError(f"another {owner.value} process of this device is running: stop it")
        return MemoryPublisher(self, owner)

    def subscriber(
        self,
        topics: Iterable[Topic],
        *,
        every_s: float | None = None,  # noqa: ARG002 - reading costs nothing here
    ) -> "MemorySubscriber":
        """A subscriber to ``topics``; it is never later than ``every_s``."""
        subscriber = MemorySubscriber(self, topics)
        self.subscribers.add(subscriber)
        return subscriber

    def close(self) -> None:
        """Forget all subscribers and owners."""
        self.subscribers.clear()
        self.owners.clear()


class MemoryPublisher(Publisher):
    """Twin of `unisono.bus.bus.BusPublisher`."""

    def __init__(self, bus: MemoryBus, owner: Owner) -> None:
        super().__init__(owner)
        self._bus = bus
        self._closed = False
        bus.owners.add(owner)

    def _send(self, frames: tuple[bytes, bytes]) -> None:
        if self._closed:
            return
        for subscriber in tuple(self._bus.subscribers):
            asyncio.get_running_loop().call_soon(subscriber.arrive, list(frames))

    def close(self) -> None:
        """Nothing is sent any more."""
        if not self._closed:
            self._bus.owners.discard(self._owner)
        self._closed = True


class MemorySubscriber(Subscriber):
    """Twin of `unisono.bus.bus.BusSubscriber`."""

    def __init__(self, bus: MemoryBus, topics: Iterable[Topic]) -> None:
        super().__init__(topics)
        self._bus = bus

    def close(self) -> None:
        """Leave."""
        self._bus.subscribers.discard(self)
