"""What the kernel tells of links and addresses as they change (netlink): bytes to plain facts."""

import socket
import struct
from collections.abc import Iterator
from typing import Final

READ_BYTES: Final = 65_536

# linux/rtnetlink.h, linux/if.h
_GROUPS: Final = 0x1 | 0x10 | 0x40  # links, IPv4 addresses, IPv4 routes
_NEWLINK, _DELLINK, _DELADDR = 16, 17, 21
_UP_RUNNING: Final = 0x1 | 0x40
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEAD: Final = struct.Struct("=LHHLL")
_LINK: Final = struct.Struct("=BxHiLL")
_ADDRESS: Final = struct.Struct("=BBBBi")
_ATTRIBUTE: Final = struct.Struct("=HH")


def listener() -> socket.socket:
    """Hears what changes on this machine's network; OSError where that is not allowed."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        made.setblocking(False)
        made.bind((0, _GROUPS))
    except OSError:
        made.close()
        raise
    return made


def tells_end(news: bytes, number: int, address: str) -> bool:
    """Whether ``news`` says that interface ``number`` was not usable with ``address`` for a time.

    It was taken away, taken down, lost its carrier or that address.
    """
    return any(_is_end(kind, body, number, address) for kind, body in _split(news))


def _split(news: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one read: (type, body)."""
    while len(news) >= _HEAD.size:
        length, kind, *_ = _HEAD.unpack_from(news)
        if length < _HEAD.size:
            return
        yield kind, news[_HEAD.size : length]
        news = news[(length + 3) & ~3 :]


def _is_end(kind: int, body: bytes, number: int, address: str) -> bool:
    if kind in (_NEWLINK, _DELLINK) and len(body) >= _LINK.size:
        family, _, index, flags, _ = _LINK.unpack_from(body)
        if family != socket.AF_UNSPEC or index != number:  # a bridge speaks of its ports
            return False
        return kind == _DELLINK or flags & _UP_RUNNING != _UP_RUNNING
    if kind == _DELADDR and len(body) >= _ADDRESS.size:
        index = _ADDRESS.unpack_from(body)[4]
        return index == number and address in _addresses_in(body[_ADDRESS.size :])
    return False


def _addresses_in(attributes: bytes) -> Iterator[str]:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        value = attributes[_ATTRIBUTE.size : length]
        if kind in (_IFA_ADDRESS, _IFA_LOCAL) and len(value) == 4:
            yield socket.inet_ntoa(value)
        if length < _ATTRIBUTE.size:
            return
        attributes = attributes[(length + 3) & ~3 :]
