"""The beacon paths of a device: one interface, and which of them a site's flag asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from unisono.core.units import OwnNs
from unisono.lan.errors import PathUnavailable

# What one wake-up hands over at most: a stalled process does not need its whole past.
BATCH_FRAMES = 8
# Read per wake-up at most, so that a flood cannot hold up the beat.
READ_AT_ONCE = 32


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


@dataclass(frozen=True, slots=True)
class Batch:
    """What one wake-up of a socket yielded, oldest first; the stamp belongs to the newest."""

    frames: tuple[bytes, ...]
    received_ns: OwnNs
    path: str


Deliver = Callable[[Batch], None]


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

    async def close(self) -> None:
        """Stop, and release the port."""
        ...


class BeaconSubscriber(Protocol):
    """Receives frames, newest last; sets itself up again after a long silence."""

    @property
    def path(self) -> str:
        """The path's name, for counters."""
        ...

    @property
    def restarts(self) -> int:
        """How often the path had to be set up again by itself."""
        ...

    async def open(self, deliver: Deliver) -> None:
        """Start handing batches to ``deliver``, in the event loop."""
        ...

    async def close(self) -> None:
        """Stop; nothing is delivered afterwards."""
        ...


def choose_paths(transport: str, *, has_pgm: bool) -> Sequence[str]:
    """The paths that the flag ``lan_transport`` means here: ``tcp``, ``pgm`` or both.

    `PathUnavailable` when ``pgm`` is asked for by name where there is none; ``auto`` leaves
    it out without a word.
    """
    if transport == "pgm" and not has_pgm:
        raise PathUnavailable(
            "SYNC_LAN_TRANSPORT=pgm: this machine's libzmq has no PGM; use tcp or auto, or "
            "install libzmq3-dev and build pyzmq with `pip install --no-binary pyzmq pyzmq`"
        )
    if transport == "auto":
        return ("tcp", "pgm") if has_pgm else ("tcp",)
    return (transport,)
