"""Probes where a network lets no datagrams through: the same messages over TCP, back to back.

Both ends are a `DatagramLink`, and lose what cannot go now instead of queueing it. Stamps are the
kernel's, as with datagrams. Nothing here waits or keeps time beyond one timer of the listener:
what has gone on for too long is seen at the next send.
"""

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from typing import Final

from unisono.clock import own_ns
from unisono.core.units import NS_PER_S, OwnNs, ns_to_s
from unisono.lan.datagrams import DeliverDatagram
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.interface import ANY_ADDRESS
from unisono.lan.paths import READ_AT_ONCE, Endpoint
from unisono.lan.probe_stream import STALLED_NS, Line, prepare

# A site has some fifty followers; beyond it somebody is playing games.
MAX_CONNECTIONS: Final = 128
# A device needs one, and a few may be left over from its restarts.
MAX_CONNECTIONS_OF_ONE: Final = 8
IDLE_NS: Final = 30 * NS_PER_S
# A follower of another term may be wrong for a moment; a stranger is wrong for ever.
MAX_REFUSED: Final = 5
# Out of descriptors: the rest of the process needs them more.
ACCEPT_PAUSE_S: Final = 1.0
# From one attempt to connect to the next; twice as long each time, until there is an answer.
RETRY_FIRST_NS: Final = NS_PER_S // 10
RETRY_MAX_NS: Final = 5 * NS_PER_S
# A master that moves has two addresses for a while.
MAX_MASTERS: Final = 4


class TcpProbeListener:
    """The master's end: answers go back by the connection that asked.

    Port 0 lets the kernel choose. `AddressInUse`, `LanError` at construction.
    """

    def __init__(self, address: str, port: int = 0) -> None:
        self._deliver: DeliverDatagram | None = None
        self._lines: dict[Endpoint, Line] = {}
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise LanError(f"cannot open a TCP socket: {error.strerror}") from None
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            prepare(self._socket)
            self._socket.bind((address, port))
            self._socket.listen(MAX_CONNECTIONS)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"TCP port {port} is in use: set UNISONO_PROBE_PORT to a free one"
                ) from None
            raise LanError(f"cannot listen on TCP {address}:{port}: {error.strerror}") from None
        self.endpoint = Endpoint(*self._socket.getsockname()[:2])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._lines)

    left_ns = None  # nothing tells

    def read(self, at_most: int) -> None:
        """Nothing: it is never held."""

    def listen(self, deliver: DeliverDatagram) -> None:
        """Start accepting."""
        self._deliver = deliver
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def send(self, data: bytes, to: Endpoint) -> bool:
        """An answer, by the connection from ``to``; False when there is none any more."""
        line = self._lines.get(to)
        if line is None or not line.send(data):
            return False
        line.answered, line.refused, line.since_ns = True, 0, own_ns()
        return True

    def close(self) -> None:
        """Stop, and drop every connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            if self._deliver is not None:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._deliver = None
        for line in tuple(self._lines.values()):
            self._drop(line)

    def _accept(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                stream, address = self._socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._rest()
                break
            try:
                prepare(stream)
            except OSError:  # gone already
                stream.close()
                continue
            self._make_room(address[0])
            line = Line(stream, Endpoint(*address[:2]), self._take, self._drop)
            self._lines[line.peer] = line
            line.read_on()
        if self._timer is None:
            self._look()

    def _make_room(self, address: str) -> None:
        """For one more from there, at the cost of the address with the most connections.

        Of these, who was never answered is the first to go: strangers displace strangers.
        """
        used = Counter(line.peer.address for line in self._lines.values())
        if used[address] >= MAX_CONNECTIONS_OF_ONE:
            crowd = {address}
        elif len(self._lines) >= MAX_CONNECTIONS:
            most = max(used.values())
            crowd = {other for other in used if used[other] == most}
        else:
            return
        lines = (line for line in self._lines.values() if line.peer.address in crowd)
        self._drop(min(lines, key=lambda line: (line.answered, line.since_ns)))

    def _rest(self) -> None:
        """Accept nothing for a moment, lest the loop turn on a connection it cannot take."""
        loop, number = asyncio.get_running_loop(), self._socket.fileno()
        loop.remove_reader(number)

        def go_on() -> None:
            if self._socket.fileno() >= 0:
                loop.add_reader(number, self._accept)

        loop.call_later(ACCEPT_PAUSE_S, go_on)

    def _take(self, line: Line, message: bytes, at_ns: OwnNs) -> None:
        if not line.may_be_answered():
            return
        line.refused += 1  # until it is answered, which happens within `_deliver` or never
        if self._deliver is not None:
            self._deliver(message, line.peer, at_ns)
        if line.refused > MAX_REFUSED:
            self._drop(line)

    def _drop(self, line: Line) -> None:
        if self._lines.get(line.peer) is line:
            del self._lines[line.peer]
        line.close()

    def _look(self) -> None:
        """Drop what has been idle for long, and look again when the next one may be over."""
        self._timer = None
        now_ns = own_ns()
        for line in tuple(self._lines.values()):
            if now_ns - line.since_ns >= IDLE_NS:
                self._drop(line)
        if self._lines:
            first_ns = min(line.since_ns for line in self._lines.values())
            wait_s = ns_to_s(first_ns + IDLE_NS - now_ns)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)


class TcpProbeLink:
    """A follower's end: connects to whom it is asked to send to, and stays connected.

    What is sent before a connection stands is lost, and says so. ``address``: where to send
    from; by default the kernel's choice.
    """

    def __init__(self, address: str = ANY_ADDRESS) -> None:
        self._address = address
        self._deliver: DeliverDatagram | None = None
        self._masters: dict[Endpoint, _Master] = {}  # the one used longest ago first

    @property
    def endpoint(self) -> Endpoint:
        """Where it sends from; its ports are the kernel's choice."""
        return Endpoint(self._address, 0)

    left_ns = None  # nothing tells

    def read(self, at_most: int) -> None:
        """Nothing: it is never held."""

    def listen(self, deliver: DeliverDatagram) -> None:
        """Hand answers to ``deliver``."""
        self._deliver = deliver

    def send(self, data: bytes, to: Endpoint) -> bool:
        """Send if the connection to ``to`` stands; else begin to make it, as often as is decent."""
        if self._deliver is None:
            return False
        master = self._masters.pop(to, None) or _Master(self._address, to, self._deliver)
        self._masters[to] = master
        if len(self._masters) > MAX_MASTERS:
            self._masters.pop(next(iter(self._masters))).close()
        return master.send(data)

    def close(self) -> None:
        """Disconnect; answers under way are lost."""
        self._deliver = None
        for master in self._masters.values():
            master.close()
        self._masters.clear()


class _Master:
    """The connection to one master, made anew when it was lost."""

    def __init__(self, address: str, where: Endpoint, deliver: DeliverDatagram) -> None:
        self._address = address
        self._where = where
        self._deliver = deliver
        self._line: Line | None = None
        self._stands = False
        self._owed = 0  # answers
        self._asked_ns: OwnNs | None = None  # the first time since the last answer
        self._wait_ns = RETRY_FIRST_NS
        self._next_ns = 0

    def send(self, data: bytes) -> bool:
        now_ns = own_ns()
        line = self._line
        if line is not None and self._is_stalled(line, now_ns):
            self._lose(line)
        if self._line is None and now_ns >= self._next_ns:
            self._connect(now_ns)
        if self._line is None or not self._stands:
            return False
        self._asked_ns = self._asked_ns or now_ns
        self._owed += 1
        return self._line.send(data)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _is_stalled(self, line: Line, now_ns: OwnNs) -> bool:
        since_ns = self._asked_ns if self._stands else line.since_ns
        return since_ns is not None and now_ns - since_ns >= STALLED_NS

    def _connect(self, now_ns: OwnNs) -> None:
        self._next_ns = now_ns + self._wait_ns
        self._wait_ns = min(2 * self._wait_ns, RETRY_MAX_NS)
        try:
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError:  # no descriptor left
            return
        try:
            prepare(stream)
            if self._address != ANY_ADDRESS:
                stream.bind((self._address, 0))
            with contextlib.suppress(BlockingIOError):
                stream.connect((self._where.address, self._where.port))
        except OSError:
            stream.close()
            return
        self._stands, self._owed, self._asked_ns = False, 0, None
        self._line = Line(stream, self._where, self._take, self._lose)
        self._line.on_connected(self._connected)

    def _connected(self, line: Line, well: bool) -> None:
        if not well:
            self._lose(line)
            return
        self._stands = True
        line.read_on()

    def _take(self, line: Line, message: bytes, at_ns: OwnNs) -> None:
        if not self._owed:  # nobody asked: that is no master
            self._lose(line)
            return
        self._owed -= 1
        self._asked_ns, self._wait_ns = None, RETRY_FIRST_NS
        self._deliver(message, line.peer, at_ns)

    def _lose(self, line: Line) -> None:
        line.close()
        if self._line is line:
            self._line = None
