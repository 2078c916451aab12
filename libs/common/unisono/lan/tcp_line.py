"""ZeroMQ sockets for beacons over TCP: how each is set, and the receiving end of some of them."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import zmq

from unisono.clock import own_ns
from unisono.lan.datagrams import EXPEDITED_FORWARDING
from unisono.lan.errors import LanError
from unisono.lan.paths import READ_AT_ONCE, Endpoint, Frame
from unisono.wire.beacon import MAX_BEACON_BYTES

Context = zmq.Context[zmq.Socket[bytes]]

# A beacon in a queue is an old beacon: a few, for the scheduler's sake.
QUEUE_FRAMES: Final = 8
UNACKNOWLEDGED_MS: Final = 2000
# A quiet connection costs the site two small packets in that time.
KEEPALIVE_S: Final = 5
CONNECT_TIMEOUT_MS: Final = 1000
HANDSHAKE_MS: Final = 2000
RECONNECT_MS: Final = 100

_OPTIONS: Final = {
    zmq.LINGER: 0,
    zmq.SNDHWM: QUEUE_FRAMES,
    zmq.RCVHWM: QUEUE_FRAMES,
    zmq.TCP_MAXRT: UNACKNOWLEDGED_MS,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: KEEPALIVE_S,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
    zmq.CONNECT_TIMEOUT: CONNECT_TIMEOUT_MS,
    zmq.RECONNECT_IVL: RECONNECT_MS,
    zmq.MAXMSGSIZE: MAX_BEACON_BYTES,
    zmq.TOS: EXPEDITED_FORWARDING,
}


def open_context() -> Context:
    """A context of its own for one path; `LanError` when there is no descriptor left."""
    try:
        return zmq.Context(io_threads=1)
    except zmq.ZMQError as error:
        raise _refusal(error) from None


def open_socket(
    context: Context,
    kind: int,
    options: Mapping[zmq.SocketOption, int] = {},
    connect_to: Sequence[Endpoint] = (),
) -> zmq.Socket[bytes]:
    """A socket, set and connected; `LanError`, and none, when there is no descriptor left."""
    made: zmq.Socket[bytes] | None = None
    try:
        made = context.socket(kind)
        for option, value in {**_OPTIONS, **options}.items():
            made.setsockopt(option, value)
        for endpoint in connect_to:
            made.connect(f"tcp://{endpoint}")
    except zmq.ZMQError as error:
        if made is not None:
            made.close(linger=0)
        raise _refusal(error) from None
    return made


def _refusal(error: zmq.ZMQError) -> LanError:
    return LanError(f"cannot open a TCP socket: {error.strerror}")


class Line:
    """A socket connected to ``endpoints``; what comes is handed to ``take`` in the event loop.

    `LanError` at construction.
    """

    def __init__(
        self,
        context: Context,
        endpoints: Sequence[Endpoint],
        longest_ms: int,
        wanted: bool,
        take: Callable[[list[Frame]], None],
    ) -> None:
        self._take = take
        # Of each connection the newest beacon only, however long this process was stopped.
        options = {zmq.CONFLATE: 1, zmq.RECONNECT_IVL_MAX: longest_ms}
        self._socket = open_socket(context, zmq.SUB, options, endpoints)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        if wanted:
            self.subscribe(True)

    def subscribe(self, wanted: bool) -> None:
        """Whether anything shall come."""
        self._socket.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, b"")
        self._loop.call_soon(self._read)  # the descriptor tells of changes only

    def close(self) -> None:
        """Disconnect."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)

    def _read(self) -> None:
        frames: list[Frame] = []
        if self._socket.closed:
            return
        with contextlib.suppress(zmq.Again):
            for _ in range(READ_AT_ONCE):
                message = self._socket.recv(zmq.NOBLOCK, copy=False)
                frames.append(Frame(message.bytes, str(message.get("Peer-Address")), own_ns()))
            self._loop.call_soon(self._read)  # the descriptor will not tell of the rest
        if frames:
            self._take(frames)
