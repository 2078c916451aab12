"""What the switch decides: which hosts get a frame, and when. Pure: frames and instants in and out.

A frame meets two links: the one from its host, whose draw all receivers share, and the one
towards each receiver, drawn for each by itself. It is handed to the second link at the instant
at which the first lets it go, so that both see frames in the order of time.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.cli.lab.link import CLEAR, Link, Loss

HEADER_BYTES: Final = 14  # two addresses and a type; what is shorter is no Ethernet frame
_BROADCAST: Final = b"\xff" * 6
_GROUP_BIT: Final = 1
_IPV4: Final = b"\x08\x00"
_UDP: Final = b"\x11"


@dataclass(slots=True)
class Port:
    """A host's cable, both directions of it."""

    towards: Link
    leaving: Link
    part: int = 0  # of a partitioned network, the part that the host is in


class _Event(NamedTuple):
    """At ``due_ns`` a frame of ``source`` gets to the switch, or from it to ``target``."""

    due_ns: int
    number: int  # of two that are due at once, the older goes first
    source: str
    target: str | None
    frame: bytes


class Delivery(NamedTuple):
    """A frame that is due at a host."""

    due_ns: int
    host: str
    frame: bytes


class Fabric:
    """A learning switch whose cables are links; ``outside`` belongs to no part of the network."""

    def __init__(self, hosts: Iterable[str], seed: int, outside: str) -> None:
        self.ports = {
            host: Port(Link(CLEAR, f"{seed} to {host}"), Link(CLEAR, f"{seed} from {host}"))
            for host in hosts
        }
        self._outside = outside
        self._homes: dict[bytes, str] = {}  # hardware address -> the host that was heard with it
        self._events: list[_Event] = []
        self._count = 0

    @property
    def due_ns(self) -> int | None:
        """When `deliveries` is to be called next; None while nothing is on its way."""
        return self._events[0].due_ns if self._events else None

    def partition(self, parts: Sequence[Iterable[str]]) -> None:
        """Cut the network: hosts of one part hear each other only; those not named are a part too.

        KeyError for a host that there is not. Frames on their way still arrive.
        """
        of_host = {host: number for number, part in enumerate(parts, 1) for host in part}
        for host in of_host:
            self.ports[host]
        for host, port in self.ports.items():
            port.part = of_host.get(host, 0)

    def arrive(self, now_ns: int, source: str, frame: bytes) -> None:
        """A host has sent ``frame``."""
        if len(frame) < HEADER_BYTES:
            return
        if not frame[6] & _GROUP_BIT:
            self._homes[frame[6:12]] = source
        link = self.ports[source].leaving
        multicast, udp = _is_multicast(frame), _is_udp(frame)
        for due_ns in link.carry(now_ns, len(frame), multicast=multicast, udp=udp):
            self._push(due_ns, source, None, frame)

    def deliveries(self, now_ns: int) -> Iterator[Delivery]:
        """What is due by ``now_ns``, in order."""
        while self._events and self._events[0].due_ns <= now_ns:
            event = heapq.heappop(self._events)
            if event.target is None:
                self._cross(event)
            else:
                yield Delivery(event.due_ns, event.target, event.frame)

    def unwritable(self, host: str) -> None:
        """Count a delivery that the host's interface did not take."""
        link = self.ports[host].towards
        link.carried -= 1
        link.lost[Loss.UNWRITABLE] += 1

    def _cross(self, event: _Event) -> None:
        """The switch passes a frame on."""
        frame, multicast, udp = event.frame, _is_multicast(event.frame), _is_udp(event.frame)
        home = None if frame[0] & _GROUP_BIT else self._homes.get(frame[:6])
        for host in self.ports if home is None else (home,):
            if host == event.source:
                continue
            link = self.ports[host].towards
            if self._cut(event.source, host):
                link.lost[Loss.DOWN] += 1
                continue
            for due_ns in link.carry(event.due_ns, len(frame), multicast=multicast, udp=udp):
                self._push(due_ns, event.source, host, frame)

    def _cut(self, one: str, other: str) -> bool:
        if self._outside in (one, other):
            return False
        return self.ports[one].part != self.ports[other].part

    def _push(self, due_ns: int, source: str, target: str | None, frame: bytes) -> None:
        self._count += 1
        heapq.heappush(self._events, _Event(due_ns, self._count, source, target, frame))


def _is_multicast(frame: bytes) -> bool:
    return bool(frame[0] & _GROUP_BIT) and frame[:6] != _BROADCAST


def _is_udp(frame: bytes) -> bool:
    return frame[12:14] == _IPV4 and frame[23:24] == _UDP
