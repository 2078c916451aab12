"""From the setting ``lan_interface`` to the numeric IPv4 address that sockets want.

Names never reach ZeroMQ: it would ask DNS for an interface called "eth0".
"""

import fcntl
import ipaddress
import socket
import struct

from unisono.lan.errors import InterfaceUnknown

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - beacons are for the whole LAN, and signed
LOOPBACK = "127.0.0.1"

_SIOCGIFADDR = 0x8915
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8


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


def _ask(request: int, name: str) -> bytes | None:
    raw = name.encode()
    if not 0 < len(raw) < 16:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            return fcntl.ioctl(probe.fileno(), request, struct.pack("256s", raw))
        except OSError:
            return None


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
        reply = _ask(_SIOCGIFFLAGS, name)
        flags = 0 if reply is None else struct.unpack_from("=H", reply, 16)[0]
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
