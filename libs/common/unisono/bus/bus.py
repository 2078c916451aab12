"""The bus over ZeroMQ on unix sockets: ``DIRECTORY/<owner>.sock``.

Publishers bind, subscribers connect, in any order: a connection lost is made again as soon as
the publisher's process is back. The directory belongs to this user alone (mode 0700): what is
said in it includes the session's secret. Whoever holds ``<owner>.lock`` is the one publisher.
"""

import asyncio
import contextlib
import fcntl
import os
import stat
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
# Read per wake-up at most, so that a flood cannot hold up the rest of the process.
READ_AT_ONCE: Final = 64

_Context = zmq.Context[zmq.Socket[bytes]]


class Bus:
    """One device's bus in ``directory``, made if it is not there and closed to other users.

    UserError when that cannot be, or the directory belongs to another user.
    """

    def __init__(self, directory: Path) -> None:
        _make_private(directory)
        self._directory = directory
        self._context: _Context = zmq.Context(io_threads=1)
        self._open: list[Publisher | Subscriber] = []

    def address_of(self, owner: Owner) -> str:
        """The endpoint of ``owner``'s publisher."""
        return f"ipc://{self._directory / owner.value}.sock"

    def publisher(self, owner: Owner) -> "BusPublisher":
        """Bind ``owner``'s socket; one left by a process that died is replaced.

        UserError when another process holds it, or it cannot be bound.
        """
        lock = _take_lock(self._directory / f"{owner.value}.lock", owner)
        try:
            publisher = BusPublisher(self._context, owner, self.address_of(owner), lock)
        except zmq.ZMQError as error:
            os.close(lock)
            raise UserError(
                f"{self._directory}: {owner.value}'s socket cannot be bound ({error.strerror}): "
                "set UNISONO_RUN_DIR to a short path that this user can write to"
            ) from None
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


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != 0o700:
            directory.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be made ({error.strerror}): "
            "set UNISONO_RUN_DIR to a directory that this user can write to"
        ) from None
    if found.st_uid != os.geteuid():
        raise UserError(
            f"{directory} belongs to another user (uid {found.st_uid}): remove it, or set "
            "UNISONO_RUN_DIR to a directory of this user's own"
        )


def _take_lock(path: Path, owner: Owner) -> int:
    """The lock's descriptor; the kernel frees it when the process ends, however it does."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"{path} cannot be made ({error.strerror}): "
            "set UNISONO_RUN_DIR to a directory that this user can write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise UserError(
            f"{path}: another {owner.value} process of this device is running: stop it, or give "
            "this one a UNISONO_RUN_DIR of its own"
        ) from None
    return lock


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
    """The one publisher of an owner's topics, as long as it holds ``lock``, a descriptor."""

    def __init__(self, context: _Context, owner: Owner, address: str, lock: int) -> None:
        super().__init__(owner)
        self._lock: int | None = lock
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
        """Unbind, and let go of the lock."""
        self._socket.close(linger=0)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


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
            for _ in range(READ_AT_ONCE):
                self.arrive(self._socket.recv_multipart(zmq.NOBLOCK))
            self._loop.call_soon(self._read)  # the descriptor will not tell of the rest

    def close(self) -> None:
        """Disconnect."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)
