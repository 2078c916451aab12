"""Beacons over PGM multicast, the socket itself held by a disposable child process."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from unisono.core.units import OwnNs
from unisono.lan.errors import LanError
from unisono.lan.paths import BATCH_FRAMES, READ_AT_ONCE, Batch, Deliver, Multicast
from unisono.lan.pgm_child import MAX_FRAME_BYTES, STAMP, endpoint

PATH: Final = "pgm"

# A child that ran for a while is replaced at once; one that dies at its start, ever more slowly.
HEALTHY_AFTER_S: Final = 1.0
RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 5.0
# Stopping takes a child's interpreter milliseconds; after this it is killed.
STOP_PATIENCE_S: Final = 1.0

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
        where: Multicast,
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
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The present child's process id."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the first child; `LanError` when the endpoint can never work."""
        where = self._where
        try:
            endpoint(where.interface, where.group, where.port)
        except ValueError as error:
            raise LanError(
                f"PGM cannot be used: {error}; check UNISONO_MULTICAST_GROUP and "
                "UNISONO_MULTICAST_PORT"
            ) from None
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Close the socket, at which the child ends, and wait for it."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def kill(self) -> None:
        """End the present child; a new one follows at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = RETRY_S
        while True:
            started = loop.time()
            try:
                complaint = await self._run_once()
            except (OSError, RuntimeError) as error:  # no descriptors, memory, threads: for now
                complaint = f"it could not be started: {error}"
            if loop.time() - started >= HEALTHY_AFTER_S:
                wait_s = RETRY_S
            self.restarts += 1
            _log.warning("PGM process ended (%s); starting it again", complaint)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_MAX_S)

    async def _run_once(self) -> str:
        """Start a child, wait for its end, and say how it ended."""
        where = self._where
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
        await asyncio.wait_for(process.communicate(), STOP_PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.communicate()


class PgmPublisher:
    """Sends to the whole multicast group."""

    path = PATH

    def __init__(self, where: Multicast) -> None:
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

    async def close(self) -> None:
        """End the child."""
        await self.child.stop()

    def _attach(self, to_child: socket.socket) -> None:
        self._socket = to_child

    def _detach(self, _: socket.socket) -> None:
        self._socket = None


class PgmSubscriber:
    """Receives from the multicast group; the child is replaced after a long silence."""

    path = PATH

    def __init__(self, where: Multicast, *, silence_s: float = 30.0) -> None:
        self._silence_s = silence_s
        self._deliver: Deliver | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.child = _Child("sub", where, attach=self._attach, detach=self._detach)

    @property
    def restarts(self) -> int:
        """How often the child had to be replaced."""
        return self.child.restarts

    async def open(self, deliver: Deliver) -> None:
        """Start the child; `LanError` when the group cannot be used."""
        self._deliver = deliver
        self.child.start()

    async def close(self) -> None:
        """End the child."""
        self._deliver = None
        await self.child.stop()

    def _attach(self, to_child: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(to_child.fileno(), self._read, to_child)
        self._arm()

    def _detach(self, to_child: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(to_child.fileno())
        if self._watch is not None:
            self._watch.cancel()

    def _arm(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        # An interface that was taken away and put back leaves the socket deaf without a word.
        self._watch = asyncio.get_running_loop().call_later(self._silence_s, self.child.kill)

    def _read(self, to_child: socket.socket) -> None:
        frames: deque[bytes] = deque(maxlen=BATCH_FRAMES)
        received_ns = 0
        with contextlib.suppress(OSError):
            for _ in range(READ_AT_ONCE):
                message = to_child.recv(STAMP.size + MAX_FRAME_BYTES + 1)
                if len(message) < STAMP.size:
                    # Empty: the child has gone, and the socket would be readable for ever.
                    asyncio.get_running_loop().remove_reader(to_child.fileno())
                    break
                (received_ns,) = STAMP.unpack_from(message)
                frames.append(message[STAMP.size :])
        if frames and self._deliver is not None:
            self._arm()
            self._deliver(Batch(tuple(frames), OwnNs(received_ns), PATH))
