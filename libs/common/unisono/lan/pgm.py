"""Beacons over PGM multicast, the socket itself held by a disposable child process."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import zmq

from unisono.core.units import OwnNs
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.mending import Watchdog, resolve
from unisono.lan.paths import (
    PGM,
    READ_AT_ONCE,
    Batch,
    Deliver,
    Endpoint,
    Frame,
    WhereMulticast,
)
from unisono.lan.pgm_child import MAX_FRAME_BYTES, STAMP

# A child that ran for a while is replaced at once; one that dies at its start, ever more slowly.
HEALTHY_AFTER_S: Final = 1.0
RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 5.0
# Stopping takes a child's interpreter milliseconds; after this it is killed.
STOP_PATIENCE_S: Final = 1.0
# A child takes some tenths of a second to start: longer than for the other paths, then doubled.
SILENCE_FIRST_S: Final = 4.0
SILENCE_MAX_S: Final = 60.0

_log = logging.getLogger(__name__)


def has_pgm() -> bool:
    """Whether this machine's libzmq can do PGM."""
    return bool(zmq.has("pgm"))


class _Child:
    """Keeps one child process running, and the socket to it.

    ``attach`` is called with the socket to each new child, ``detach`` before it is closed.
    """

    def __init__(
        self,
        role: str,
        where: WhereMulticast,
        *,
        attach: Callable[[socket.socket], None],
        detach: Callable[[socket.socket], None],
    ) -> None:
        self._role = role
        self._where = where
        self._attach = attach
        self._detach = detach
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._hurry = asyncio.Event()  # replace the child, without waiting
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The present child's process id."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the first child; `LanError` when the group can never work."""
        with contextlib.suppress(InterfaceUnknown):  # it may come
            resolve(self._where).check()
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Close the socket, at which the child ends, and wait for it."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def renew(self) -> None:
        """End the present child, and start a new one at once."""
        if self._task is None:
            return
        self._hurry.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def replace(self) -> None:
        """As `renew`, but counted: nobody asked."""
        if self._task is not None:
            self.restarts += 1
            self.renew()

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s, told = RETRY_S, ""
        while True:
            started_s = loop.time()
            self._hurry.clear()
            try:
                complaint = await self._run_once()
            except (LanError, OSError, RuntimeError) as error:  # no address, descriptors, threads
                complaint = f"it could not be started: {error}"
            if self._hurry.is_set():
                wait_s = RETRY_S
                continue
            self.restarts += 1
            if (healthy := loop.time() - started_s >= HEALTHY_AFTER_S) or complaint != told:
                _log.warning("PGM process ended (%s); starting it again", complaint)
            told = complaint
            wait_s = RETRY_S if healthy else wait_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurry.wait()
            wait_s = min(wait_s * 2, RETRY_MAX_S)

    async def _run_once(self) -> str:
        """Start a child, wait for its end, and say how it ended."""
        where = resolve(self._where)
        where.check()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with ours:
            with theirs:
                place = (where.interface, where.group, str(where.port))
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "unisono.lan.pgm_child"),
                    *(self._role, str(theirs.fileno()), *place),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    env={**os.environ, "PGM_TIMER": "CLOCK", "PGM_MIN_LOG_LEVEL": "ERROR"},
                )
            self._process = process
            self._attach(ours)
            try:
                if self._hurry.is_set():  # renewed while it was being started
                    process.kill()
                last_line = await _last_line(process)
                status = await process.wait()
            finally:
                self._detach(ours)
                ours.close()
                await _reap(process)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"{how}: {last_line}" if last_line else how


async def _last_line(process: asyncio.subprocess.Process) -> str:
    """What the child said last, once it has closed its standard error."""
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    last_line = ""
    async for line in process.stderr:
        last_line = line.decode(errors="replace").strip() or last_line
    return last_line


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a child that was told to end, and for its pipe; it must not outlive us."""
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):  # `wait_for` may lose a cancellation
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()


class PgmPublisher:
    """Sends to the whole multicast group."""

    path = PGM

    def __init__(self, where: WhereMulticast) -> None:
        self._socket: socket.socket | None = None
        self.child = _Child("pub", where, attach=self._attach, detach=self._detach)

    @property
    def restarts(self) -> int:
        """How often the child had to be replaced."""
        return self.child.restarts

    async def open(self) -> None:
        """Start the child; `LanError` when the group cannot be used."""
        self.child.start()

    def send(self, frame: bytes) -> bool:
        """Hand the frame to the child; False while there is none, or it does not keep up."""
        if self._socket is None:
            return False
        try:
            return self._socket.send(frame) == len(frame)
        except OSError:
            return False

    def renew(self) -> None:
        """Replace the child."""
        self.child.renew()

    async def close(self) -> None:
        """End the child."""
        await self.child.stop()

    def _attach(self, to_child: socket.socket) -> None:
        self._socket = to_child

    def _detach(self, _: socket.socket) -> None:
        self._socket = None


class PgmSubscriber:
    """Receives from the multicast group; the child is replaced after a silence.

    An interface that was taken away and put back leaves its socket deaf without a word.
    """

    path = PGM
    on_demand = False

    def __init__(self, where: WhereMulticast, *, silence_s: float = SILENCE_FIRST_S) -> None:
        self._deliver: Deliver | None = None
        self.child = _Child("sub", where, attach=self._attach, detach=self._detach)
        self._watch = Watchdog(self.child.replace, first_s=silence_s, longest_s=SILENCE_MAX_S)

    @property
    def restarts(self) -> int:
        """How often the child had to be replaced."""
        return self.child.restarts

    async def open(self, deliver: Deliver) -> None:
        """Start the child; `LanError` when the group cannot be used."""
        self.child.start()
        self._deliver = deliver
        self._watch.start()

    def want(self, wanted: bool) -> None:
        """Nothing: whoever joined hears the group."""

    def verified(self) -> None:
        """The child hears the master."""
        self._watch.heard()

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Nothing: whoever leads sends to the group."""

    def renew(self) -> None:
        """Replace the child."""
        if self._deliver is not None:
            self.child.renew()
            self._watch.start()

    async def close(self) -> None:
        """End the child."""
        self._deliver = None
        self._watch.stop()
        await self.child.stop()

    def _attach(self, to_child: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(to_child.fileno(), self._read, to_child)

    def _detach(self, to_child: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(to_child.fileno())

    def _read(self, to_child: socket.socket) -> None:
        frames: list[Frame] = []
        with contextlib.suppress(OSError):
            for _ in range(READ_AT_ONCE):
                message = to_child.recv(STAMP.size + MAX_FRAME_BYTES + 1)
                if len(message) < STAMP.size:
                    # Empty: the child has gone, and the socket would be readable for ever.
                    asyncio.get_running_loop().remove_reader(to_child.fileno())
                    break
                (received_ns,) = STAMP.unpack_from(message)
                frames.append(Frame(message[STAMP.size :], "", OwnNs(received_ns)))
        if frames and self._deliver is not None:
            self._deliver(Batch(tuple(frames), PGM))
