"""Beacons over ZeroMQ PUB/SUB on TCP: the publisher binds, subscribers connect.

A subscriber stays connected to the leader, so that it can be heard at once, and subscribes only
while it wants to: else the publisher sends it nothing. The other members bind only once they
lead; their doors are knocked at while the leader is silent, and not for ever.

The beat itself is the heartbeat: a subscriber that hears none for a second makes its connections
anew, and the publisher's kernel gives up what is not acknowledged for two. Without either a pulled
cable is never noticed, and its beacons come in one burst of old ones when it is back. ZeroMQ's own
heartbeats are not used: a process that was stopped for longer than their timeout is aborted by an
assertion of libzmq (``!_io_error``, stream_engine_base.cpp; seen in 8 of 10 stops of 1 to 6 s).
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Sequence
from typing import Final

import zmq

from unisono.clock import own_ns
from unisono.lan.datagrams import EXPEDITED_FORWARDING
from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.mending import Upkeep, Watchdog, refusal, resolve
from unisono.lan.paths import READ_AT_ONCE, TCP, Batch, Deliver, Endpoint, Frame, WhereToListen
from unisono.wire.beacon import MAX_BEACON_BYTES

# A beacon in a queue is an old beacon: a few, for the scheduler's sake.
QUEUE_FRAMES: Final = 8
UNACKNOWLEDGED_MS: Final = 2000
# A quiet connection costs the site two small packets in that time.
KEEPALIVE_S: Final = 5
SILENCE_FIRST_S: Final = 1.0  # the slowest beat; after it, and each time twice as long, up to ...
SILENCE_MAX_S: Final = 8.0
CONNECT_TIMEOUT_MS: Final = 1000
HANDSHAKE_MS: Final = 2000
RECONNECT_MS: Final = 100
LEADER_RECONNECT_MAX_MS: Final = 500
STANDBY_RECONNECT_MAX_MS: Final = 5000
# A port just left by a previous owner (a role that changed, a process restarted) is free soon.
BIND_PATIENCE_S: Final = 2.0
BIND_RETRY_S: Final = 0.05


def _socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE_FRAMES),
        (zmq.RCVHWM, QUEUE_FRAMES),
        (zmq.TCP_MAXRT, UNACKNOWLEDGED_MS),
        (zmq.TCP_KEEPALIVE, 1),
        (zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_S),
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
    """Binds where it is told and sends to every subscriber that wants to hear."""

    path = TCP

    def __init__(self, where: WhereToListen) -> None:
        self._where = where
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._bound: Endpoint | None = None
        self._upkeep = Upkeep(TCP, self._set_up)

    @property
    def restarts(self) -> int:
        """How often it was bound later, after a failure."""
        return self._upkeep.restarts

    async def open(self) -> None:
        """Bind, waiting a moment for a port that is just being released, or for an address."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + BIND_PATIENCE_S
        while not self._upkeep.is_open:
            try:
                self._upkeep.open()
            except LanError as error:
                if not isinstance(error, AddressInUse) or loop.time() >= deadline_s:
                    await self.close()
                    raise
                await asyncio.sleep(BIND_RETRY_S)

    def send(self, frame: bytes) -> bool:
        """Hand the frame to every subscriber; one that does not keep up misses it."""
        if self._bound is None and not self._upkeep.mend_if_due():
            return False
        assert self._socket is not None  # noqa: S101 - bound
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def renew(self) -> None:
        """Bind again if the address has changed."""
        self._upkeep.renew()

    async def close(self) -> None:
        """Close at once; frames not yet sent are dropped."""
        self._upkeep.close()
        if self._context is not None:
            self._context.destroy(linger=0)
        self._context = self._socket = self._bound = None

    def _set_up(self) -> None:
        where = resolve(self._where)
        if where == self._bound:
            return
        if self._context is None or self._socket is None:
            self._context = zmq.Context(io_threads=1)
            self._socket = _socket(self._context, zmq.PUB)
        if self._bound is not None:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.unbind(f"tcp://{self._bound}")
            self._bound = None
        try:
            self._socket.bind(f"tcp://{where}")
        except zmq.ZMQError as error:
            raise _refusal(where, error) from None
        self._bound = where


def _refusal(where: Endpoint, error: zmq.ZMQError) -> LanError:
    if error.errno == errno.EADDRINUSE:
        problem = f"TCP port {where.port} is in use"
        return AddressInUse(f"{problem}: set UNISONO_BEACON_PORT to a free one")
    return refusal(f"cannot send beacons from {where}: {error.strerror}", error.errno)


class _Line:
    """A socket connected to ``endpoints``; what comes is handed to ``take`` in the event loop."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoints: Sequence[Endpoint],
        longest_ms: int,
        wanted: bool,
        take: Callable[[list[Frame]], None],
    ) -> None:
        self._take = take
        self._socket = _socket(context, zmq.SUB)
        # Of each connection the newest beacon only, however long this process was stopped.
        self._socket.setsockopt(zmq.CONFLATE, 1)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, longest_ms)
        for endpoint in endpoints:
            self._socket.connect(f"tcp://{endpoint}")
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


class TcpSubscriber:
    """Connected to ``leader``; while wanted and that one is silent, to ``standby`` as well."""

    path = TCP
    on_demand = True

    def __init__(
        self,
        leader: Endpoint | None,
        standby: Sequence[Endpoint] = (),
        *,
        silence_s: float = SILENCE_FIRST_S,
    ) -> None:
        self._leader = leader
        self._others = tuple(standby)
        self._wanted = False
        self._deliver: Deliver | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._to_leader: _Line | None = None
        self._to_others: _Line | None = None
        self._watch = Watchdog(self._mend, first_s=silence_s, longest_s=SILENCE_MAX_S)
        self.restarts = 0

    async def open(self, deliver: Deliver) -> None:
        """Connect; connections that cannot be made are tried again for ever."""
        self._deliver = deliver
        self._context = zmq.Context(io_threads=1)
        self._connect()

    def want(self, wanted: bool) -> None:
        """Subscribe, or no more."""
        if wanted == self._wanted or self._context is None:
            return
        self._wanted = wanted
        if self._to_leader is not None:
            self._to_leader.subscribe(wanted)
        if wanted:
            self._begin()
        else:
            self._watch.stop()
            self._leave_others()

    def follow(self, leader: Endpoint | None, term: int) -> None:  # noqa: ARG002 - bytes have none
        """Connect to another leader; the last one is one of the others then."""
        if leader == self._leader:
            return
        known = self._others if self._leader is None else (*self._others, self._leader)
        self._others = tuple(other for other in dict.fromkeys(known) if other != leader)
        self._leader = leader
        self.renew()

    def renew(self) -> None:
        """Connect anew, now."""
        if self._context is not None:
            self._connect()
            if self._wanted:
                self._begin()

    async def close(self) -> None:
        """Disconnect."""
        self._wanted, self._deliver = False, None
        self._watch.stop()
        self._disconnect()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def _begin(self) -> None:
        self._watch.start()
        if self._leader is None:
            self._connect_others()

    def _connect(self) -> None:
        self._disconnect()
        if self._context is not None and self._leader is not None:
            ms, take = LEADER_RECONNECT_MAX_MS, self._take_from_leader
            self._to_leader = _Line(self._context, [self._leader], ms, self._wanted, take)

    def _connect_others(self) -> None:
        self._leave_others()
        if self._context is not None and self._others:
            ms = STANDBY_RECONNECT_MAX_MS
            self._to_others = _Line(self._context, self._others, ms, self._wanted, self._hand_over)

    def _disconnect(self) -> None:
        self._leave_others()
        if self._to_leader is not None:
            self._to_leader.close()
            self._to_leader = None

    def _leave_others(self) -> None:
        if self._to_others is not None:
            self._to_others.close()
            self._to_others = None

    def _mend(self) -> None:
        """Connections that have been silent for long are made anew; it mends what nobody tells."""
        self.restarts += 1
        self._connect()
        self._connect_others()

    def _take_from_leader(self, frames: list[Frame]) -> None:
        self._watch.heard()
        self._leave_others()
        self._hand_over(frames)

    def _hand_over(self, frames: list[Frame]) -> None:
        if self._deliver is not None:
            self._deliver(Batch(tuple(frames), TCP))
