"""Beacons as plain datagrams to a multicast group: what is lost is skipped, nothing is held back.

One send reaches every follower. What multicast is known for is mended without being asked: an
interface that was taken away and put back leaves a sending socket without a device and a
receiving one deaf without a word, and a switch that watches IGMP while nobody queries forgets
its members after some minutes; leaving and joining again reminds it.
"""

import socket
import struct
from typing import Final

from unisono.lan.datagrams import FrameReader, bind, open_socket, set_if_possible
from unisono.lan.errors import LanError
from unisono.lan.mending import Upkeep, Watchdog, refusal, resolve
from unisono.lan.paths import UDP, Batch, Deliver, Endpoint, Multicast, WhereMulticast

HOPS: Final = 1  # a LAN's beat is of no use beyond its router
SILENCE_FIRST_S: Final = 1.0  # without a beat; after it, and each time twice as long, up to ...
SILENCE_MAX_S: Final = 30.0

_IP_MULTICAST_ALL: Final = 49  # Linux: hear the groups of other sockets too, unless set to 0
_MREQN: Final = struct.Struct("=4s4si")


def _refusal(what: str, where: Multicast, error: OSError) -> LanError:
    problem = f"cannot {what} group {where.group} by {where.interface}: {error.strerror}"
    return refusal(problem, error.errno)


def _sending(where: Multicast) -> socket.socket:
    """A socket that sends by that interface; `InterfaceUnknown` while there is none."""
    where.check()
    made = open_socket()
    try:
        interface = socket.inet_aton(where.interface)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
        # Devices may share one host, as in a demo.
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except OSError as error:
        made.close()
        raise _refusal("send to", where, error) from None
    return made


def _joined(where: Multicast) -> socket.socket:
    """A socket that hears that group on that port only; `InterfaceUnknown`, `AddressInUse`."""
    where.check()
    made = open_socket()
    set_if_possible(made, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several devices on one host
    set_if_possible(made, socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    bind(made, where.group, where.port, setting="UNISONO_UDP_PORT")
    group, interface = socket.inet_aton(where.group), socket.inet_aton(where.interface)
    try:
        request = _MREQN.pack(group, interface, 0)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        made.close()
        raise _refusal("join", where, error) from None
    return made


class UdpPublisher:
    """Sends to the whole group."""

    path = UDP

    def __init__(self, where: WhereMulticast) -> None:
        self._where = where
        self._socket: socket.socket | None = None
        self._to = ("", 0)
        self._upkeep = Upkeep(UDP, self._set_up, sends=True)

    @property
    def restarts(self) -> int:
        """How often the socket was made anew after a failure."""
        return self._upkeep.restarts

    async def open(self) -> None:
        """Open the socket, or once there is an address; `LanError` when it never can."""
        self._upkeep.open()

    def send(self, frame: bytes) -> bool:
        """One datagram; a socket that failed is made anew, at most once a second."""
        if self._socket is None and not self._upkeep.mend_if_due():
            return False
        assert self._socket is not None  # noqa: S101 - just mended
        try:
            self._socket.sendto(frame, self._to)
        except BlockingIOError:  # a full queue is the network's trouble, not the socket's
            return False
        except OSError as error:
            self._upkeep.failed(LanError(f"cannot send: {error.strerror}"))
            self._drop()
            return False
        self._upkeep.works()
        return True

    def renew(self) -> None:
        """Make the socket anew, now."""
        self._upkeep.renew()

    async def close(self) -> None:
        """Close the socket."""
        self._upkeep.close()
        self._drop()

    def _set_up(self) -> None:
        self._drop()
        where = resolve(self._where)
        self._socket = _sending(where)
        self._to = (where.group, where.port)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class UdpSubscriber:
    """Hears the group; joins it anew after ``silence_s`` without a beat that is the master's."""

    path = UDP
    on_demand = False

    def __init__(self, where: WhereMulticast, *, silence_s: float = SILENCE_FIRST_S) -> None:
        self._where = where
        self._deliver: Deliver | None = None
        self._reader: FrameReader | None = None
        self._upkeep = Upkeep(UDP, self._join)
        self._watch = Watchdog(self._upkeep.mend, first_s=silence_s, longest_s=SILENCE_MAX_S)

    @property
    def restarts(self) -> int:
        """How often the group was joined anew after a silence."""
        return self._upkeep.restarts

    async def open(self, deliver: Deliver) -> None:
        """Join, or once there is an address; `LanError` when it never can."""
        self._upkeep.open()
        self._deliver = deliver
        self._watch.start()

    def want(self, wanted: bool) -> None:
        """Nothing: whoever joined hears the group."""

    def verified(self) -> None:
        """The group is alive."""
        self._watch.heard()

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Nothing: whoever leads sends to the group."""

    def renew(self) -> None:
        """Join anew, now."""
        if self._upkeep.is_open:
            self._upkeep.renew()
            self._watch.start()

    async def close(self) -> None:
        """Leave."""
        self._upkeep.close()
        self._deliver = None
        self._watch.stop()
        self._leave()

    def _join(self) -> None:
        # First leave: only the first membership of an interface is reported to the network.
        self._leave()
        where = resolve(self._where)
        self._reader = FrameReader(_joined(where), UDP, self._take)

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _take(self, batch: Batch) -> None:
        if self._deliver is not None:
            self._deliver(batch)
