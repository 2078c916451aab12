"""The setting ``lan_interface``: the numeric IPv4 address it means, and when that changes.

Names never reach ZeroMQ: it would ask DNS for an interface called "eth0".
"""

import asyncio
import errno
import fcntl
import ipaddress
import socket
import struct
from array import array
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from unisono.lan import netlink
from unisono.lan.errors import InterfaceUnknown
from unisono.lan.paths import READ_AT_ONCE

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - beacons are for the whole LAN, and signed
LOOPBACK = "127.0.0.1"

# An interface that changes says so several times in a few milliseconds: wait for its last word.
DEBOUNCE_S: Final = 0.05
# A Wi-Fi that roams may come and go: whoever is told sets up sockets anew.
MIN_INTERVAL_S: Final = 0.3
# Where the kernel does not tell (some sandboxes): as soon as a person would notice.
LOOK_EVERY_S: Final = 5.0

_SIOCGIFADDR = 0x8915
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_RUNNING = 0x40
_SIOCGIFCONF = 0x8912
_IFCONF = struct.Struct("@iP")
_IFREQ_BYTES = struct.calcsize("@16s2LH6B")
_MAX_ADDRESSES = 256


def resolve_interface(setting: str) -> str:
    """The numeric IPv4 address of ``setting``: ``auto``, an interface's name, or an address.

    ``auto`` is the address that the default route leaves by; without one, that of the first
    interface that is up, and 127.0.0.1 at the very least. `InterfaceUnknown` otherwise.
    """
    if setting == "auto":
        return _default_route_address() or _first_address() or LOOPBACK
    if is_numeric(setting):
        if not _is_ours(setting):
            raise InterfaceUnknown(
                f"UNISONO_LAN_INTERFACE={setting}: no interface of this machine has that address; "
                "use auto, or an address that `ip -4 addr` lists"
            )
        return setting
    address = address_of(setting)
    if address is None:
        raise InterfaceUnknown(
            f"UNISONO_LAN_INTERFACE={setting}: no such interface, or it has no IPv4 address; "
            "use auto, or a name that `ip -4 addr` lists"
        )
    return address


def listen_address(setting: str) -> str:
    """Where to listen: everywhere for ``auto``, else on that interface only."""
    return ANY_ADDRESS if setting == "auto" else resolve_interface(setting)


def is_numeric(address: str) -> bool:
    """Whether ``address`` is an IPv4 address in numbers."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def address_of(name: str) -> str | None:
    """The IPv4 address of the interface ``name``; None when there is none."""
    reply = _ask(_SIOCGIFADDR, name)
    return None if reply is None else socket.inet_ntoa(reply[20:24])


class _Place(NamedTuple):
    """What a setting means now; ``address`` is "" while there is nothing to send from."""

    address: str = ""
    number: int = 0


class InterfaceWatch:
    """Calls ``on_change`` when ``setting`` (as in `resolve_interface`) means something new.

    That is: another address, another interface under the same name, or the same one after it
    was down, without carrier or without its address. While there is no usable interface it is
    silent, as nothing could be set up. A burst is told once, and again only after 0.3 s.
    """

    def __init__(self, setting: str, on_change: Callable[[], None]) -> None:
        self._setting = setting
        self._on_change = on_change
        self._place = _Place()
        self._lost = False  # was unusable since it was last told of
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told_s = float("-inf")
        self._closed = True

    def open(self) -> None:
        """Start watching, in the event loop; never raises."""
        self._closed = False
        self._place = _look(self._setting)
        self._lost = not self._place.address
        try:
            self._socket = netlink.listener()
        except OSError:
            self._look_later(LOOK_EVERY_S)
            return
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Stop; ``on_change`` is not called afterwards."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deafen()

    def _deafen(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._socket is None:
                return
            try:
                news = self._socket.recv(netlink.READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # that one: we missed some, and the next are there
                    self._deafen()
                news = b""
            self._lost |= netlink.tells_end(news, self._place.number, self._place.address)
            self._look_later(DEBOUNCE_S)

    def _look_later(self, wait_s: float) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due_s = max(loop.time() + wait_s, self._told_s + MIN_INTERVAL_S)
            self._timer = loop.call_at(due_s, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        place = _look(self._setting)
        if not place.address:
            self._lost = True
        elif self._lost or place != self._place:
            self._lost, self._place = False, place
            self._told_s = asyncio.get_running_loop().time()
            self._on_change()
        if self._socket is None and not self._closed:
            self._look_later(LOOK_EVERY_S)


def _look(setting: str) -> _Place:
    try:
        address = resolve_interface(setting)
        by_name = setting != "auto" and not is_numeric(setting)
        name = setting.partition(":")[0] if by_name else name_of(address)
        if name is None or not _is_running(name) or (setting == "auto" and address == LOOPBACK):
            return _Place()
        return _Place(address, socket.if_nametoindex(name))
    except (InterfaceUnknown, OSError):  # OSError: it went away while we looked
        return _Place()


def name_of(address: str) -> str | None:
    """The name of the interface that has ``address``; None when none has."""
    return next((name for name, found in _addresses() if found == address), None)


def _is_running(name: str) -> bool:
    return _flags(name) & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING


def _ask(request: int, name: str) -> bytes | None:
    raw = name.encode()
    if not 0 < len(raw) < 16:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            return fcntl.ioctl(probe.fileno(), request, struct.pack("256s", raw))
        except OSError:
            return None


def _flags(name: str) -> int:
    reply = _ask(_SIOCGIFFLAGS, name)
    return 0 if reply is None else int(struct.unpack_from("=H", reply, 16)[0])


def _addresses() -> Iterator[tuple[str, str]]:
    """Every IPv4 address of this machine, with its interface's name."""
    found = array("B", bytes(_MAX_ADDRESSES * _IFREQ_BYTES))
    request = _IFCONF.pack(len(found), found.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        used = _IFCONF.unpack(fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, request))[0]
    entries = found.tobytes()
    for start in range(0, used, _IFREQ_BYTES):
        label = entries[start : start + 16].partition(b"\0")[0].decode(errors="replace")
        yield label.partition(":")[0], socket.inet_ntoa(entries[start + 20 : start + 24])


def _default_route_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel only looks up the route
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address == ANY_ADDRESS else address


def _first_address() -> str | None:
    for _, name in socket.if_nameindex():
        flags = _flags(name)
        if flags & _IFF_UP and not flags & _IFF_LOOPBACK and (address := address_of(name)):
            return address
    return None


def _is_ours(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
