"""UDP sockets of the LAN, whose datagrams are stamped where they arrive: in the kernel.

A stamp taken by the interpreter would contain its own waiting for the processor.
"""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, Protocol

from unisono.core.units import NS_PER_S, OwnNs
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.mending import refusal
from unisono.lan.paths import READ_AT_ONCE, Batch, Deliver, Endpoint, Frame

# deliver(data, sender, received at)
DeliverDatagram = Callable[[bytes, Endpoint, OwnNs], None]

# Longer ones are cut here, and refused for their size.
MAX_DATAGRAM: Final = 512
# What waits in a socket of the default size, and a little more: a flood costs this and no more.
HELD_AT_ONCE: Final = 512
# DSCP EF: Wi-Fi takes it as its voice queue.
EXPEDITED_FORWARDING: Final = 0xB8

_SO_TIMESTAMPNS: Final = 35  # Linux; its message is a struct timespec of the wall clock
_TIMESPEC: Final = struct.Struct("@ll")
_ANCILLARY: Final = socket.CMSG_SPACE(_TIMESPEC.size)


class DatagramLink(Protocol):
    """A socket for datagrams, or its twin in memory."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        ...

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start handing datagrams to ``deliver``, in the event loop."""
        ...

    def read(self) -> None:
        """Hand over what waits; a link that is not held does so by itself."""
        ...

    def send(self, data: bytes, to: Endpoint) -> bool:
        """Send now or not at all; False when the network did not take it."""
        ...

    def close(self) -> None:
        """Stop; nothing is delivered afterwards."""
        ...


def open_socket() -> socket.socket:
    """A UDP socket that never blocks, stamps what arrives and marks what leaves as urgent."""
    try:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise LanError(f"cannot open a UDP socket: {error.strerror}") from None
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED_FORWARDING)
    return made


def bind(made: socket.socket, address: str, port: int, *, setting: str) -> None:
    """Bind, or close it and raise `AddressInUse` (``setting`` names the port) or `LanError`."""
    try:
        made.bind((address, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"UDP port {port} is in use: set {setting} to a free one") from None
        problem = f"cannot listen on UDP {address}:{port}: {error.strerror}"
        raise refusal(problem, error.errno) from None


class UdpLink:
    """A UDP socket; port 0 lets the kernel choose. `AddressInUse`, `LanError` at construction.

    ``setting`` is what an operator changes when the port is in use. ``held``: nothing wakes the
    process when datagrams come; they wait, stamped, until its owner calls `read`.
    """

    def __init__(
        self,
        address: str,
        port: int = 0,
        *,
        setting: str = "UNISONO_PROBE_PORT",
        held: bool = False,
    ) -> None:
        self._held = held
        self._deliver: DeliverDatagram | None = None
        self._socket = open_socket()
        bind(self._socket, address, port, setting=setting)
        self.endpoint = Endpoint(*self._socket.getsockname()[:2])

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start reading."""
        self._deliver = deliver
        if not self._held:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self.read)

    def send(self, data: bytes, to: Endpoint) -> bool:
        """One datagram, at once."""
        try:
            self._socket.sendto(data, (to.address, to.port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Stop reading and close."""
        if self._socket.fileno() >= 0:
            if self._deliver is not None and not self._held:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._deliver = None

    def read(self) -> None:
        """Hand over what waits, up to a limit."""
        for _ in range(HELD_AT_ONCE if self._held else READ_AT_ONCE):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(MAX_DATAGRAM, _ANCILLARY)
            except OSError:  # nothing more, or an error of an earlier send
                return
            if self._deliver is None:
                return
            self._deliver(data, Endpoint(*sender[:2]), arrival_ns(ancillary))


class FrameReader:
    """Reads beacons from a UDP socket, which it owns, and delivers them by wake-ups."""

    def __init__(self, made: socket.socket, path: str, deliver: Deliver) -> None:
        self._socket = made
        self._path = path
        self._deliver = deliver
        asyncio.get_running_loop().add_reader(made.fileno(), self._read)

    def send(self, data: bytes, to: Endpoint) -> bool:
        """One datagram from the same socket, at once."""
        try:
            self._socket.sendto(data, (to.address, to.port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Stop reading and close."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    def _read(self) -> None:
        frames: list[Frame] = []
        for _ in range(READ_AT_ONCE):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(MAX_DATAGRAM, _ANCILLARY)
            except OSError:  # nothing more, or an error of an earlier send
                break
            frames.append(Frame(data, sender[0], arrival_ns(ancillary)))
        if frames:
            self._deliver(Batch(tuple(frames), self._path))


def arrival_ns(ancillary: list[tuple[int, int, bytes]]) -> OwnNs:
    """When a datagram reached the kernel, on the own monotonic clock.

    The kernel stamps by the wall clock; what has passed since is measured on it, and taken off
    the monotonic clock. A wall clock set in between shows as an absurd wait: then it is "now".
    """
    wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
    for level, kind, content in ancillary:
        if (level, kind, len(content)) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS, _TIMESPEC.size):
            seconds, nanoseconds = _TIMESPEC.unpack(content)
            waited_ns = wall_ns - (seconds * NS_PER_S + nanoseconds)
            if 0 <= waited_ns < NS_PER_S:
                return OwnNs(now_ns - waited_ns)
    return OwnNs(now_ns)
