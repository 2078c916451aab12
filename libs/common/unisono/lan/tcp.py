"""Beacons over ZeroMQ PUB/SUB on TCP: the publisher binds, subscribers connect.

A subscriber stays connected to the leader, so that it can be heard at once, and subscribes only
while it wants to: else the publisher sends it nothing. The other members bind only once they
lead; their doors are knocked at while the leader is silent, and not for ever.

The beat itself is the heartbeat: a subscriber that misses it for long makes its connections anew,
and the publisher's kernel gives up what is not acknowledged for two seconds. Without either a
pulled cable is never noticed, and its beacons come in one burst of old ones when it is back.
ZeroMQ's own heartbeats are not used: a process that was stopped for longer than their timeout is
aborted by an assertion of libzmq (``!_io_error``, stream_engine_base.cpp; seen in 8 of 10 stops of
1 to 6 s).
"""

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from typing import Final

import zmq

from unisono.lan.errors import AddressInUse, LanError
from unisono.lan.mending import Upkeep, Watchdog, refusal, resolve
from unisono.lan.paths import TCP, Batch, Deliver, Endpoint, Frame, WhereToListen
from unisono.lan.tcp_line import Context, Line, open_context, open_socket

SILENCE_FIRST_S: Final = 1.0  # without a beat; after it, and each time twice as long, up to ...
SILENCE_MAX_S: Final = 8.0
LEADER_RECONNECT_MAX_MS: Final = 500
STANDBY_RECONNECT_MAX_MS: Final = 5000
# A port just left by a previous owner (a role that changed, a process restarted) is free soon.
BIND_PATIENCE_S: Final = 2.0
BIND_RETRY_S: Final = 0.05


class TcpPublisher:
    """Binds where it is told and sends to every subscriber that wants to hear."""

    path = TCP

    def __init__(self, where: WhereToListen) -> None:
        self._where = where
        self._context: Context | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._bound: Endpoint | None = None
        self._upkeep = Upkeep(TCP, self._set_up, sends=True)

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
        self._upkeep.works()
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
        if self._context is None:
            self._context = open_context()
        if self._socket is None:
            self._socket = open_socket(self._context, zmq.PUB)
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


class TcpSubscriber:
    """Connected to ``leader``; while wanted and that one is silent, to ``standby`` as well.

    Silent is who brings no beat that is the master's for ``silence_s``.
    """

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
        self._searching = False  # connected to the others as well
        self._by_leader = False  # the newest frames came from it
        self._deliver: Deliver | None = None
        self._context: Context | None = None
        self._to_leader: Line | None = None
        self._to_others: Line | None = None
        self._upkeep = Upkeep(TCP, self._connect)
        self._watch = Watchdog(self._mend, first_s=silence_s, longest_s=SILENCE_MAX_S)

    @property
    def restarts(self) -> int:
        """How often the connections were made anew after a silence."""
        return self._upkeep.restarts

    async def open(self, deliver: Deliver) -> None:
        """Connect; connections that cannot be made are tried again for ever."""
        self._deliver = deliver
        try:
            self._upkeep.open()
        except LanError:
            await self.close()
            raise

    def want(self, wanted: bool) -> None:
        """Subscribe, or no more."""
        if wanted == self._wanted or not self._upkeep.is_open:
            return
        self._wanted = wanted
        if self._to_leader is not None:
            self._to_leader.subscribe(wanted)
        if not wanted:
            self._watch.stop()
            self._leave_others()
        elif self._to_leader is not None:
            self._watch.start()
        else:
            self.renew()

    def verified(self) -> None:
        """Somebody leads; if it is the leader, the others are left alone."""
        self._watch.heard()
        if self._by_leader:
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
        self._searching = self._wanted and self._leader is None
        self._upkeep.renew()
        if self._wanted:
            self._watch.start()

    async def close(self) -> None:
        """Disconnect."""
        self._upkeep.close()
        self._wanted, self._deliver = False, None
        self._watch.stop()
        self._disconnect()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def _connect(self) -> None:
        self._disconnect()
        if self._context is None:
            self._context = open_context()
        wanted = self._wanted
        if self._leader is not None:
            ms, take = LEADER_RECONNECT_MAX_MS, self._take_from_leader
            self._to_leader = Line(self._context, [self._leader], ms, wanted, take)
        if self._searching and self._others:
            ms, take = STANDBY_RECONNECT_MAX_MS, self._take_from_others
            self._to_others = Line(self._context, self._others, ms, wanted, take)

    def _disconnect(self) -> None:
        self._drop_others()
        if self._to_leader is not None:
            self._to_leader.close()
            self._to_leader = None

    def _leave_others(self) -> None:
        self._searching = False
        self._drop_others()

    def _drop_others(self) -> None:
        if self._to_others is not None:
            self._to_others.close()
            self._to_others = None

    def _mend(self) -> None:
        """Connections that have been silent for long are made anew; it mends what nobody tells."""
        self._searching = True
        self._upkeep.mend()

    def _take_from_leader(self, frames: list[Frame]) -> None:
        self._by_leader = True
        self._hand_over(frames)

    def _take_from_others(self, frames: list[Frame]) -> None:
        self._by_leader = False
        self._hand_over(frames)

    def _hand_over(self, frames: list[Frame]) -> None:
        if self._deliver is not None:
            self._deliver(Batch(tuple(frames), TCP))
