"""UDP sockets of the LAN, whose datagrams are stamped where they arrive: in the kernel.

A stamp taken by the interpreter would contain its own waiting for the processor.
"""

import asyncio
import contextlib
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
# DSCP EF: Wi-Fi takes it as its voice queue.
EXPEDITED_FORWARDING: Final = 0xB8

_SO_TIMESTAMPNS: Final = 35  # Linux; its message is a struct timespec of the wall clock
_TIMESPEC: Final = struct.Struct("@ll")
_SO_TIMESTAMPING: Final = 37  # its message is three of them, the first by software
_STAMPS: Final = (_SO_TIMESTAMPNS, _SO_TIMESTAMPING)
# Stamp by software what is sent, tell that stamp, and no copy of what was sent with it.
_STAMP_SENDS: Final = 1 << 1 | 1 << 4 | 1 << 11
# Room for all that may come with a datagram, or with the stamp of a sent one.
_ANCILLARY: Final = socket.CMSG_SPACE(3 * _TIMESPEC.size) + socket.CMSG_SPACE(64)


class DatagramLink(Protocol):
    """A socket for datagrams, or its twin in memory."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        ...

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start handing datagrams to ``deliver``, in the event loop."""
        ...

    @property
    def left_ns(self) -> OwnNs | None:
        """When the last datagram left the machine, by its kernel; None where nothing tells."""
        ...

    def read(self, at_most: int) -> None:
        """Hand over so many of those that wait; a link that is not held does so by itself."""
        ...

    def send(self, data: bytes, to: Endpoint) -> bool:
        """Send now or not at all; False when the network did not take it."""
        ...

    def close(self) -> None:
        """Stop; nothing is delivered afterwards."""
        ...


def open_socket() -> socket.socket:
    """A UDP socket, equipped; `LanError` when there is no descriptor left."""
    try:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise LanError(f"cannot open a UDP socket: {error.strerror}") from None
    equip(made)
    return made


def equip(made: socket.socket) -> None:
    """Never block; and, where the kernel can, stamp what arrives and mark what leaves as urgent."""
    made.setblocking(False)
    set_if_possible(made, socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    set_if_possible(made, socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED_FORWARDING)


def set_if_possible(made: socket.socket, level: int, option: int, value: int) -> bool:
    """Set an option that some sandboxes lack; whether this kernel has it."""
    try:
        made.setsockopt(level, option, value)
    except OSError:
        return False
    return True


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
    process when datagrams come; they wait, stamped, until its owner calls `read`. ``stamp_sends``:
    what leaves is stamped as well, see `left_ns`.
    """

    def __init__(
        self,
        address: str,
        port: int = 0,
        *,
        setting: str = "UNISONO_PROBE_PORT",
        held: bool = False,
        stamp_sends: bool = False,
    ) -> None:
        self._held = held
        self.left_ns: OwnNs | None = None
        self._deliver: DeliverDatagram | None = None
        self._socket = open_socket()
        bind(self._socket, address, port, setting=setting)
        self._stamp_sends = stamp_sends and set_if_possible(
            self._socket, socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMP_SENDS
        )
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
        if self._stamp_sends:
            self.left_ns = self._departure_ns()
        return True

    def close(self) -> None:
        """Stop reading and close."""
        if self._socket.fileno() >= 0:
            if self._deliver is not None and not self._held:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._deliver = None

    def _departure_ns(self) -> OwnNs | None:
        """The stamp of what was just sent: a driver gives it before the call returns, or soon."""
        left_ns = None
        with contextlib.suppress(OSError):
            while True:
                _, ancillary, _, _ = self._socket.recvmsg(0, _ANCILLARY, socket.MSG_ERRQUEUE)
                left_ns = departure_ns(ancillary)
        return left_ns

    def read(self, at_most: int = READ_AT_ONCE) -> None:
        """Hand over so many of those that wait."""
        if self._stamp_sends:
            self._departure_ns()  # a stamp that came too late would wake the loop for ever
        for _ in range(at_most):
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
    """When a datagram reached the kernel, on the own monotonic clock; "now" if nothing tells.

    Should the process be interrupted between the two clocks, the arrival seems later than it was,
    never earlier: no delay is ever made shorter.
    """
    wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
    waited_ns = _waited_ns(ancillary, wall_ns)
    return OwnNs(now_ns - (waited_ns or 0))


def departure_ns(ancillary: list[tuple[int, int, bytes]]) -> OwnNs | None:
    """The same of a departure, earlier if anything; None if nothing tells."""
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    waited_ns = _waited_ns(ancillary, wall_ns)
    return None if waited_ns is None else OwnNs(now_ns - waited_ns)


def _waited_ns(ancillary: list[tuple[int, int, bytes]], wall_ns: int) -> int | None:
    """What has passed since the kernel's stamp, which is of the wall clock; None without one.

    A wall clock set in between shows as an absurd wait.
    """
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind in _STAMPS and len(content) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(content)
            waited_ns: int = wall_ns - (seconds * NS_PER_S + nanoseconds)
            if 0 <= waited_ns < NS_PER_S:
                return waited_ns
    return None
