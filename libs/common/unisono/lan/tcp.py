"""Beacons over ZeroMQ PUB/SUB on TCP: the publisher binds, subscribers connect.

The beat itself is the heartbeat: a subscriber that hears none for a second makes its connections
anew, and the publisher's kernel gives up what is not acknowledged for two. Without either a pulled
cable is never noticed, and its beacons come in one burst of old ones when it is back. ZeroMQ's own
heartbeats are not used: a process that was stopped for longer than their timeout is aborted by an
assertion of libzmq (``!_io_error``, stream_engine_base.cpp; seen in 8 of 10 stops of 1 to 6 s).
"""

import asyncio
import contextlib
import errno
from collections import deque
from collections.abc import Sequence

import zmq

from unisono.clock import own_ns
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.paths import BATCH_FRAMES, READ_AT_ONCE, Batch, Deliver, Endpoint
from unisono.wire.beacon import MAX_BEACON_BYTES

PATH = "tcp"

# A beacon in a queue is an old beacon: a few, for the scheduler's sake.
QUEUE_FRAMES = 8
UNACKNOWLEDGED_MS = 2000
SILENCE_FIRST_S = 1.0  # the slowest beat; after it, and each time twice as long, up to ...
SILENCE_MAX_S = 8.0
CONNECT_TIMEOUT_MS = 1000
HANDSHAKE_MS = 2000
RECONNECT_MS = 100
LEADER_RECONNECT_MAX_MS = 500
# The other members bind only once they lead; knocking at their closed doors must cost nothing.
STANDBY_RECONNECT_MAX_MS = 5000
EXPEDITED_FORWARDING = 0xB8  # DSCP EF: Wi-Fi takes it as its voice queue
# A port just left by a previous owner (a role that changed, a process restarted) is free soon.
BIND_PATIENCE_S = 2.0
BIND_RETRY_S = 0.05


def _socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE_FRAMES),
        (zmq.RCVHWM, QUEUE_FRAMES),
        (zmq.TCP_MAXRT, UNACKNOWLEDGED_MS),
        (zmq.TCP_KEEPALIVE, 1),
        (zmq.TCP_KEEPALIVE_IDLE, 2),
        (zmq.TCP_KEEPALIVE_INTVL, 1),
        (zmq.TCP_KEEPALIVE_CNT, 3),
        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
        (zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS),
        (zmq.RECONNECT_IVL, RECONNECT_MS),
        (zmq.MAXMSGSIZE, MAX_BEACON_BYTES),
        (zmq.TOS, EXPEDITED_FORWARDING),
    ):
        socket.setsockopt(option, value)
    return socket


class TcpPublisher:
    """Binds ``endpoint`` and sends to every subscriber that is connected."""

    path = PATH
    restarts = 0

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None

    async def open(self) -> None:
        """Bind, waiting a moment for a port that is just being released."""
        self._context = zmq.Context(io_threads=1)
        self._socket = _socket(self._context, zmq.PUB)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BIND_PATIENCE_S
        while True:
            try:
                self._socket.bind(f"tcp://{self._endpoint}")
            except zmq.ZMQError as error:
                if error.errno == errno.EADDRINUSE and loop.time() < deadline:
                    await asyncio.sleep(BIND_RETRY_S)
                    continue
                await self.close()
                raise self._refusal(error) from None
            return

    def _refusal(self, error: zmq.ZMQError) -> LanError:
        if error.errno == errno.EADDRINUSE:
            return AddressInUse(
                f"TCP port {self._endpoint.port} is in use: set UNISONO_BEACON_PORT to a free one"
            )
        return LanError(f"cannot send beacons from {self._endpoint}: {error.strerror}")

    def send(self, frame: bytes) -> bool:
        """Hand the frame to every connection; one that does not keep up misses it."""
        if self._socket is None:
            return False
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    async def close(self) -> None:
        """Close at once; frames not yet sent are dropped."""
        if self._context is not None:
            self._context.destroy(linger=0)
        self._context = self._socket = None


class TcpSubscriber:
    """Connects to ``leader`` eagerly and to ``standby`` patiently, as any of them may lead next."""

    path = PATH

    def __init__(
        self,
        leader: Endpoint,
        standby: Sequence[Endpoint] = (),
        *,
        silence_s: float = SILENCE_FIRST_S,
    ) -> None:
        self._leader = leader
        self._standby = tuple(standby)
        self._silence_s = self._patience_s = silence_s
        self._deliver: Deliver | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard = False
        self.restarts = 0

    async def open(self, deliver: Deliver) -> None:
        """Connect; connections that cannot be made are tried again for ever."""
        self._deliver = deliver
        self._context = zmq.Context(io_threads=1)
        self._connect()
        self._arm()

    async def close(self) -> None:
        """Disconnect."""
        self._deliver = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._disconnect()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def _connect(self) -> None:
        assert self._context is not None  # noqa: S101 - opened
        self._socket = _socket(self._context, zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        for endpoint in (self._leader, *self._standby):
            eager = endpoint == self._leader
            longest_ms = LEADER_RECONNECT_MAX_MS if eager else STANDBY_RECONNECT_MAX_MS
            self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, longest_ms)
            self._socket.connect(f"tcp://{endpoint}")
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._read)
        loop.call_soon(self._read)  # the descriptor tells of changes only: look once by ourselves

    def _disconnect(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close(linger=0)
            self._socket = None

    def _read(self) -> None:
        if self._socket is None:
            return
        frames: deque[bytes] = deque(maxlen=BATCH_FRAMES)
        with contextlib.suppress(zmq.Again):
            for _ in range(READ_AT_ONCE):
                frames.append(self._socket.recv(zmq.NOBLOCK))
            # The descriptor will not tell of the rest.
            asyncio.get_running_loop().call_soon(self._read)
        if frames and self._deliver is not None:
            self._heard = True
            self._deliver(Batch(tuple(frames), own_ns(), PATH))

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._patience_s, self._look)

    def _look(self) -> None:
        """Sockets that have been silent for long are made anew; it mends what nothing reports."""
        if self._heard:
            self._patience_s = self._silence_s
        else:
            self._disconnect()
            self._connect()
            self.restarts += 1
            self._patience_s = min(2 * self._patience_s, SILENCE_MAX_S)
        self._heard = False
        self._arm()
