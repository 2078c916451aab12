"""One TCP connection that carries probes: messages of one size, back to back, never queued here."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from unisono.clock import own_ns
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.lan.datagrams import arrival_ns, equip
from unisono.lan.paths import Endpoint
from unisono.wire.probe import PROBE_BYTES

# Without progress for so long a connection is dead: TCP itself would wait for many minutes.
STALLED_NS: Final = 2 * NS_PER_S
# What a peer does not take in time is of no use to it later: a few messages, and the kernel's
# own cost for each of those that wait to be read.
SEND_BYTES: Final = 4096
RECEIVE_BYTES: Final = 16_384

# Read per wake-up: what a hundred connections say together must not hold up the beat.
MESSAGES_AT_ONCE: Final = 4
# A follower asks twenty times a second at most; a request that is said again and again is not one.
ANSWERS_PER_S: Final = 30

_ANCILLARY: Final = 128


def prepare(stream: socket.socket) -> None:
    """Set what both ends set; OSError when it is gone already."""
    equip(stream)
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_NS // NS_PER_MS),
    ):
        stream.setsockopt(level, option, value)


class Line:
    """Whole messages in, whole messages out: ``take(line, message, at)`` gets each of them.

    ``end(line)`` is called when the connection is of no more use; it has to close it.
    """

    def __init__(
        self,
        stream: socket.socket,
        peer: Endpoint,
        take: Callable[["Line", bytes, OwnNs], None],
        end: Callable[["Line"], None],
    ) -> None:
        self.peer = peer
        self.since_ns = own_ns()  # of its beginning, or of the last answer
        self.refused = 0
        self.answered = False
        self._stream = stream
        self._take = take
        self._end = end
        self._partial = b""
        self._paid_until_ns = 0  # by the budget of answers

    def read_on(self) -> None:
        """Start reading, in the event loop."""
        asyncio.get_running_loop().add_reader(self._stream.fileno(), self._read)

    def send(self, message: bytes) -> bool:
        """All of it now; a peer that cannot take it has a broken connection."""
        try:
            if self._stream.send(message) == len(message):
                return True
        except OSError:
            pass
        self._end(self)
        return False

    def may_be_answered(self) -> bool:
        """Whether the budget has one more answer, which is then spent."""
        now_ns = own_ns()
        until_ns = max(self._paid_until_ns, now_ns - NS_PER_S) + NS_PER_S // ANSWERS_PER_S
        if until_ns > now_ns:
            return False
        self._paid_until_ns = until_ns
        return True

    def on_connected(self, done: Callable[["Line", bool], None]) -> None:
        """Call ``done`` once with whether the connection came about."""
        loop, number = asyncio.get_running_loop(), self._stream.fileno()

        def look() -> None:
            loop.remove_writer(number)
            done(self, self._stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0)

        loop.add_writer(number, look)

    def close(self) -> None:
        """Drop it; may be called again."""
        if (number := self._stream.fileno()) >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(number)
            loop.remove_writer(number)
            self._stream.close()

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._stream.recvmsg(MESSAGES_AT_ONCE * PROBE_BYTES, _ANCILLARY)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._end(self)
            return
        at_ns = arrival_ns(ancillary)
        data = self._partial + data
        whole = len(data) - len(data) % PROBE_BYTES
        self._partial = data[whole:]
        for start in range(0, whole, PROBE_BYTES):
            if self._stream.fileno() < 0:
                return
            self._take(self, data[start : start + PROBE_BYTES], at_ns)
