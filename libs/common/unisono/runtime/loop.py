"""Everything that a daemon's ``main`` needs: an exact event loop, signals, logs, exit codes.

asyncio's default selector rounds each wait up to a whole millisecond, which a beat of 20 Hz
would feel; the loop made here waits to the microsecond.
"""

import asyncio
import contextlib
import logging
import os
import select
import selectors
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from unisono.clock import own_ns
from unisono.core.errors import UserError
from unisono.core.units import OwnNs, WallNs

EXIT_BROKEN = 1
EXIT_USAGE = 2


class Clock(Protocol):
    """The two clocks of a machine; simulations bring their own."""

    def own_ns(self) -> OwnNs:
        """This device's monotonic clock."""
        ...

    def wall_ns(self) -> WallNs:
        """UTC since the epoch."""
        ...


class SystemClock:
    """The machine's real clocks."""

    def own_ns(self) -> OwnNs:
        """``CLOCK_MONOTONIC``."""
        return own_ns()

    def wall_ns(self) -> WallNs:
        """``CLOCK_REALTIME``."""
        return WallNs(time.time_ns())


class ExactSelector(selectors.EpollSelector):
    """epoll, for any number of descriptors, with timeouts that count microseconds.

    ``select`` knows exact timeouts, but no descriptor from 1024 on. It waits for the epoll's own
    one here, which is low: a loop is the first thing that a process opens.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready within ``timeout`` seconds; None waits for ever."""
        if timeout is not None and timeout > 0:
            if not select.select((self.fileno(),), (), (), timeout)[0]:
                return []
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to some tens of microseconds."""
    return asyncio.SelectorEventLoop(ExactSelector())


async def until_signal() -> str:
    """Wait for SIGTERM or SIGINT; returns its name."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[str] = loop.create_future()

    def note(name: str) -> None:
        if not arrived.done():
            arrived.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, note, number.name)
    return await arrived


async def repeat(period_s: float, step: Callable[[], Awaitable[None]]) -> None:
    """Call ``step`` every ``period_s`` on a fixed grid; periods missed are left out."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await step()
        due += period_s
        late = loop.time() - due
        if late > 0:
            due += period_s * int(late / period_s + 1)
        await asyncio.sleep(due - loop.time())


def run_daemon(name: str, serve: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run ``serve`` until it returns or a signal cancels it; the exit status of the process.

    `UserError` (every `ConfigError` is one) becomes one line on standard error and status 2.
    Anything else, a broken event loop included, is a fault of ours: it is logged and the process
    ends at once with status 1, for its supervisor to start it again.
    """
    set_up_log(name)
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_supervise(serve))
    except (Exception, asyncio.CancelledError):
        logging.getLogger("unisono").critical("ended by a fault of its own", exc_info=True)
        # Threads and sockets that nobody ends any more would make the interpreter wait for ever.
        logging.shutdown()
        os._exit(EXIT_BROKEN)


async def _supervise(serve: Callable[[], Coroutine[Any, Any, None]]) -> int:
    log = logging.getLogger("unisono")
    work = asyncio.create_task(serve())
    stop = asyncio.create_task(until_signal())
    done, _ = await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if stop in done:
        log.info("stopping: %s", stop.result())
    for task in (work, stop):
        task.cancel()
    stopped_by_signal = work not in done
    try:
        await work
    except asyncio.CancelledError:
        if not stopped_by_signal:
            raise
    except UserError as error:
        log.error("%s", error)
        return EXIT_USAGE
    with contextlib.suppress(asyncio.CancelledError):
        await stop
    return 0


def set_log_level(level: str) -> None:
    """Log from ``level`` on: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())


def set_up_log(name: str, level: str = "info") -> None:
    """Log to standard error, one line an event: UTC time, level, process, message."""
    handler = logging.StreamHandler(sys.stderr)
    line = f"%(asctime)s.%(msecs)03dZ %(levelname)s {name} %(message)s"
    formatter = logging.Formatter(line, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
