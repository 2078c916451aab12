"""The beacon paths of a device: one interface, and which of them a site's flag asks for.

A path is one way for a beacon from the master to its followers. *Multicast* paths reach whoever
joined the group, at the same cost for one follower or fifty. *On demand* paths are unicast: the
master sends there only to those who want it, so that a follower which hears the group costs
nothing more (`unisono.core.standby` decides).
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from unisono.core.units import OwnNs
from unisono.lan.errors import LanError

# Names, as in counters and metrics.
PGM: Final = "pgm"
UDP: Final = "udp"
UNICAST: Final = "udp-unicast"
TCP: Final = "tcp"

# Read, and handed over, per wake-up at most: a flood cannot hold up the beat. All that was read is
# handed over, as only its judge can tell the beacon among the garbage.
READ_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A numeric IPv4 address and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Multicast:
    """A multicast group, its UDP port, and the numeric address of the interface to use."""

    interface: str
    group: str
    port: int

    def check(self) -> None:
        """`LanError` for what can never work; a name would make libraries ask DNS, or abort."""
        try:
            ipaddress.IPv4Address(self.interface)
            if not ipaddress.IPv4Address(self.group).is_multicast:
                raise ValueError(f"{self.group} is not a group (224.0.0.0 to 239.255.255.255)")
            if not 1 <= self.port <= 65_535:
                raise ValueError(f"port {self.port} is not from 1 to 65535")
        except ValueError as error:
            raise LanError(
                f"multicast cannot be used: {error}; check UNISONO_MULTICAST_GROUP"
            ) from None


class Frame(NamedTuple):
    """One beacon's bytes, the numeric address of who sent them ("" where none is told), and when
    they arrived: each has its own stamp, as what is around it may be garbage.
    """

    data: bytes
    sender: str
    received_ns: OwnNs


@dataclass(frozen=True, slots=True)
class Batch:
    """What one wake-up of a socket yielded, oldest first, never more than `READ_AT_ONCE`."""

    frames: tuple[Frame, ...]
    path: str


Deliver = Callable[[Batch], None]
# Where to send or listen, asked anew at each set-up, as a LAN may change under a running
# process; it may raise `LanError`, and the path then tries again later.
WhereMulticast = Callable[[], Multicast]
WhereToListen = Callable[[], Endpoint]


class BeaconPublisher(Protocol):
    """Sends one frame to whoever listens; never blocks, never queues for long."""

    @property
    def path(self) -> str:
        """The path's name, for counters."""
        ...

    @property
    def restarts(self) -> int:
        """How often the path had to be set up again by itself."""
        ...

    async def open(self) -> None:
        """Start; `LanError` when it cannot."""
        ...

    def send(self, frame: bytes) -> bool:
        """Send to all; False when the path did not take it."""
        ...

    def renew(self) -> None:
        """The LAN has changed under it: set up again, now. Never raises."""
        ...

    async def close(self) -> None:
        """Stop, and release the port."""
        ...


class BeaconSubscriber(Protocol):
    """Receives frames, newest last; sets itself up again after a long silence.

    Silence is the lack of verified frames: noise must not keep a dead path from being mended.
    """

    @property
    def path(self) -> str:
        """The path's name, for counters."""
        ...

    @property
    def on_demand(self) -> bool:
        """Whether the master sends on this path only while `want` says so."""
        ...

    @property
    def restarts(self) -> int:
        """How often the path had to be set up again by itself."""
        ...

    async def open(self, deliver: Deliver) -> None:
        """Start handing batches to ``deliver``, in the event loop; on demand paths: unwanted."""
        ...

    def want(self, wanted: bool) -> None:
        """Whether the master shall send to this device by this path; for others, nothing."""
        ...

    def verified(self) -> None:
        """A frame of this path was found to be the master's; said of each batch that had one."""
        ...

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Who leads from now on; None where its address is not known. Multicast: nothing."""
        ...

    def renew(self) -> None:
        """The LAN has changed under it: set up again, now. Never raises."""
        ...

    async def close(self) -> None:
        """Stop; nothing is delivered afterwards."""
        ...
