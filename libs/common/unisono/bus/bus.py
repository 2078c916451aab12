"""The bus over ZeroMQ on unix sockets: ``DIRECTORY/<owner>.sock``.

Publishers bind, subscribers connect, in any order: a connection lost is made again as soon as
the publisher's process is back. The directory belongs to one user (mode 0700).
"""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import zmq

from unisono.bus.ports import Publisher, Subscriber
from unisono.bus.topics import Owner, Topic
from unisono.core.errors import UserError

RECONNECT_MS: Final = 50
RECONNECT_MAX_MS: Final = 500
# A consumer that sleeps longer than this many messages loses some; state topics are repeated.
QUEUE_MESSAGES: Final = 64

_Context = zmq.Context[zmq.Socket[bytes]]


class Bus:
    """One device's bus in ``directory``, made if it is not there; UserError when it cannot be."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{directory} cannot be made ({error.strerror}): "
                "set UNISONO_RUN_DIR to a directory that this user can write to"
            ) from None
        self._directory = directory
        self._context: _Context = zmq.Context(io_threads=1)
        self._open: list[Publisher | Subscriber] = []

    def address_of(self, owner: Owner) -> str:
        """The endpoint of ``owner``'s publisher."""
        return f"ipc://{self._directory / owner.value}.sock"

    def publisher(self, owner: Owner) -> "BusPublisher":
        """Bind ``owner``'s socket; one left by a process that died is replaced."""
        publisher = BusPublisher(self._context, owner, self.address_of(owner))
        self._open.append(publisher)
        return publisher

    def subscriber(
        self, topics: Iterable[Topic], *, every_s: float | None = None
    ) -> "BusSubscriber":
        """Connect to the owners of ``topics``, there or not yet there.

        With ``every_s`` the socket is read that often instead of at each message: for a consumer
        that is in no hurry this halves what listening costs.
        """
        wanted = tuple(topics)
        owners = sorted({topic.owner for topic in wanted})
        addresses = [self.address_of(owner) for owner in owners]
        subscriber = BusSubscriber(self._context, wanted, addresses, every_s)
        self._open.append(subscriber)
        return subscriber

    def close(self) -> None:
        """Close everything that came from here."""
        for part in self._open:
            part.close()
        self._context.destroy(linger=0)


def _socket(context: _Context, kind: int) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE_MESSAGES),
        (zmq.RCVHWM, QUEUE_MESSAGES),
        (zmq.RECONNECT_IVL, RECONNECT_MS),
        (zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS),
    ):
        socket.setsockopt(option, value)
    return socket


class BusPublisher(Publisher):
    """The one publisher of an owner's topics."""

    def __init__(self, context: _Context, owner: Owner, address: str) -> None:
        super().__init__(owner)
        self._socket = _socket(context, zmq.PUB)
        try:
            self._socket.bind(address)
        except zmq.ZMQError:
            self._socket.close()
            raise

    def _send(self, frames: tuple[bytes, bytes]) -> None:
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart(frames, zmq.NOBLOCK)

    def close(self) -> None:
        """Unbind."""
        self._socket.close(linger=0)


class BusSubscriber(Subscriber):
    """A subscriber that reads its socket at each message, or now and then, and sorts them."""

    def __init__(
        self,
        context: _Context,
        topics: Iterable[Topic],
        addresses: Iterable[str],
        every_s: float | None = None,
    ) -> None:
        super().__init__(topics)
        self._socket = _socket(context, zmq.SUB)
        for topic in self._topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.name.encode())
        for address in addresses:
            self._socket.connect(address)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        if every_s is not None:
            self._read_every(every_s)
            return
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._loop.call_soon(self._read)  # the descriptor tells of changes only

    def _read_every(self, period_s: float) -> None:
        self._read()
        self._timer = self._loop.call_later(period_s, self._read_every, period_s)

    def _read(self) -> None:
        if self._socket.closed:
            return
        with contextlib.suppress(zmq.Again):
            while True:
                self.arrive(self._socket.recv_multipart(zmq.NOBLOCK))

    def close(self) -> None:
        """Disconnect."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)
