"""A demo of our own to measure, for as long as a block runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.errors import BenchError

# Longer than the demo takes to end its session, its processes and its namespaces.
STOP_TIMEOUT_S = 30.0


def isolation() -> tuple[list[str], str]:
    """Options of the demo for separate clocks and networks, and a sentence that says so."""
    if os.geteuid() == 0:
        return ["--isolate"], "each device has its own network and its own clock"
    return [], "not root: all devices share one network and ONE CLOCK, which flatters any scheme"


@contextlib.contextmanager
def demo(options: Sequence[str]) -> Iterator[Path]:
    """Run ``unisono demo`` with ``options``; yields its run directory, and ends it again.

    BenchError when the demo ended by itself before the block did: its last words say why.
    """
    parent = Path(tempfile.mkdtemp(prefix="uni-bench-", dir="/tmp"))
    run_dir, log_path = parent / "run", parent / "demo.log"
    command = [sys.executable, "-m", "services.cli.main", "demo", "--run-dir", str(run_dir)]
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield run_dir
        if child.poll() is not None:
            raise BenchError(f"the demo ended before the measurement: {_last_line(log_path)}")
    except BenchError as error:
        if child.poll() is None:
            raise
        raise BenchError(f"{error} (the demo said: {_last_line(log_path)})") from None
    finally:
        _stop(child)
        shutil.rmtree(parent, ignore_errors=True)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "nothing"
