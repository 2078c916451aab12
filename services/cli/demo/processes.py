"""Child processes as systemd or Compose would keep them: restarted when they die, ended together.

Each child leads a session of its own, so that a Ctrl-C in the terminal reaches the demo alone,
and is told by the kernel to die with the demo, so that not even SIGKILL leaves one behind.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

BACKOFF_FIRST_S = 0.25  # soon enough that the picture has not drifted
BACKOFF_MAX_S = 5.0  # what fails at once again and again must not eat the machine
STEADY_S = 10.0  # having run this long, a process is well again
TERM_WAIT_S = 5.0  # time to end in peace before SIGKILL


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep: ``group`` is the device (or "control") that it belongs to."""

    group: str
    name: str
    argv: tuple[str, ...]
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """A process being kept: its pid now (None between two lives) and how often it came back."""

    spec: ProcessSpec
    pid: int | None = None
    restarts: int = 0
    last_status: int | None = None


class Supervisor:
    """Starts processes, brings back those that die, ends all of them."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._parent = os.getpid()

    def start(self, spec: ProcessSpec) -> Kept:
        """Keep ``spec`` running from now on; it is started at once, in the background."""
        kept = Kept(spec)
        self.kept.append(kept)
        self._tasks[id(kept)] = asyncio.create_task(self._keep(kept))
        return kept

    async def stop(self, groups: Iterable[str] | None = None) -> None:
        """End all processes (of ``groups``): SIGTERM, and SIGKILL for those that stay."""
        wanted = None if groups is None else set(groups)
        chosen = [k for k in self.kept if wanted is None or k.spec.group in wanted]
        tasks = [self._tasks.pop(id(kept)) for kept in chosen if id(kept) in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, kept: Kept) -> None:
        delay_s = BACKOFF_FIRST_S
        while True:
            began_s = time.monotonic()
            try:
                kept.last_status = await self._run_once(kept)
            except OSError as error:
                log.error("%s/%s: %s", kept.spec.group, kept.spec.name, error)
            if time.monotonic() - began_s > STEADY_S:
                delay_s = BACKOFF_FIRST_S
            spec = kept.spec
            log.warning(
                "%s/%s ended (status %s); again in %g s, see %s",
                spec.group, spec.name, kept.last_status, delay_s, spec.log_path,
            )  # fmt: skip
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_MAX_S)
            kept.restarts += 1

    async def _run_once(self, kept: Kept) -> int:
        """One life of a process; cancelling ends it and waits until it is gone."""
        spec = kept.spec
        with spec.log_path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *spec.argv,
                env={**os.environ, **spec.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._die_with_parent,
            )
        kept.pid = process.pid
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        finally:
            _signal_group(process.pid, signal.SIGKILL)  # its own children, if it left any
            kept.pid = None

    def _die_with_parent(self) -> None:
        """Runs in the child, between fork and exec."""
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before the line above
            os._exit(1)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number, wait_s in ((signal.SIGTERM, TERM_WAIT_S), (signal.SIGKILL, None)):
        _signal_group(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), wait_s)
            return


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
