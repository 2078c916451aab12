"""A demo of its own process, and what of it is still there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.demo.leftovers import LOCK
from tests.support.waiting import alive, until_sync

END_LIMIT_S = 30


class Demo:
    """``unisono demo`` with a run directory of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.run_dir = directory / "run"
        self.report_path = directory / "report.json"
        self._output = directory / "output"
        command = [sys.executable, "-m", "services.cli.main", "demo"]
        command += ["--run-dir", str(self.run_dir), "--report", str(self.report_path)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.seen: set[int] = set()  # every process that it was seen to have

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self._output.read_text(encoding="utf-8")

    @property
    def report(self) -> dict[str, Any]:
        """Its report, once it has ended."""
        return dict(json.loads(self.report_path.read_text(encoding="utf-8")))

    def wait_for(self, text: str, limit_s: float = 40) -> None:
        """Until it has printed ``text``; AssertionError with all it said when it ends before."""

        def said() -> bool:
            self.seen |= set(descendants(self.process.pid))
            if text in self.output:
                return True
            assert self.process.poll() is None, self.output
            return False

        until_sync(said, limit_s)

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal (or none), wait for its end; its exit status."""
        self.seen |= set(descendants(self.process.pid))
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(END_LIMIT_S)

    def pid_of(self, device_id: str, word: str) -> int | None:
        """The process of a device whose command line holds ``word``, not one that wraps it."""
        home = str(self.run_dir / device_id)
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                environment = Path(f"/proc/{pid}/environ").read_text()
                wrapped = Path(words[0]).name in ("unshare", "ip")
                if not wrapped and home in environment and any(word in w for w in words):
                    return pid
        return None

    def leftovers(self) -> list[str]:
        """Processes, namespaces and all files but logs: what should be gone."""
        left = [f"process {pid}" for pid in sorted(self.seen) if alive(pid)]
        left += [str(p) for p in self.run_dir.rglob("*") if not p.is_dir() and not is_log(p)]
        namespaces = Path("/var/run/netns")
        if namespaces.is_dir():
            mine = f"unisono-{self.process.pid}-"
            left += [path.name for path in namespaces.iterdir() if path.name.startswith(mine)]
        left += [p.name for p in Path("/sys/class/net").glob(f"uni{self.process.pid}")]
        return left


def is_log(path: Path) -> bool:
    """Whether a demo that has ended may leave ``path``: a log, or the mark of its directory."""
    return path.is_file() and not path.is_symlink() and (path.suffix == ".log" or path.name == LOCK)


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[Demo]:
    """A demo that is gone when the block ends, whatever happened in it."""
    demo = Demo(directory, *options)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGTERM)
            try:
                demo.process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(demo.process.pid, signal.SIGKILL)
                demo.process.wait()
