"""The device's own bus: its processes tell each other what `unisono.bus.topics` lists."""

from unisono.bus.bus import Bus, BusPublisher, BusSubscriber
from unisono.bus.memory import MemoryBus
from unisono.bus.ports import AnyBus, Publisher, Subscriber
from unisono.bus.topics import Owner, Topic

__all__ = [
    "AnyBus",
    "Bus",
    "BusPublisher",
    "BusSubscriber",
    "MemoryBus",
    "Owner",
    "Publisher",
    "Subscriber",
    "Topic",
]
