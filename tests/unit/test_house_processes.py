"""The demo's supervisor, with real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.demo import processes
from services.cli.demo.processes import ProcessSpec, Supervisor
from services.cli.demo.usage import Reading, Usage, read_tree
from tests.support.waiting import alive, until, until_sync

DEMO_THAT_IS_KILLED = """
import asyncio, sys
from pathlib import Path
from services.cli.demo.processes import ProcessSpec, Supervisor

async def main():
    supervisor = Supervisor()
    kept = supervisor.start(ProcessSpec("d", "p", ("sleep", "60"), Path(sys.argv[1])))
    while kept.pid is None:
        await asyncio.sleep(0.01)
    print(kept.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def spec(short_dir: Path, *argv: str, name: str = "p", group: str = "d") -> ProcessSpec:
    return ProcessSpec(group, name, argv, short_dir / f"{name}.log")


async def test_a_process_that_dies_comes_back_and_its_output_is_logged(short_dir: Path) -> None:
    supervisor = Supervisor()
    kept = supervisor.start(spec(short_dir, "sh", "-c", "echo alive; sleep 60"))
    await until(lambda: kept.pid and (short_dir / "p.log").read_text() == "alive\n")
    first = kept.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.pid not in (None, first))
    second = kept.pid
    assert kept.restarts == 1
    await until(lambda: (short_dir / "p.log").read_text() == "alive\nalive\n")
    await supervisor.stop()
    assert second is not None
    assert not alive(second)


async def test_stop_ends_what_ignores_sigterm_and_its_children(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "TERM_WAIT_S", 0.2)
    supervisor = Supervisor()
    script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 1; done"
    output = short_dir / "p.log"
    kept = supervisor.start(spec(short_dir, "sh", "-c", script))
    await until(lambda: output.exists() and output.read_text())
    child, parent = int(output.read_text()), kept.pid
    await supervisor.stop()
    assert parent is not None
    await until(lambda: not alive(child) and not alive(parent))


async def test_stop_of_one_group_leaves_the_others(short_dir: Path) -> None:
    supervisor = Supervisor()
    one = supervisor.start(spec(short_dir, "sleep", "60", name="a", group="one"))
    two = supervisor.start(spec(short_dir, "sleep", "60", name="b", group="two"))
    await until(lambda: one.pid and two.pid)
    await supervisor.stop(["one"])
    assert one.pid is None
    assert two.pid is not None
    assert alive(two.pid)
    await supervisor.stop()


async def test_a_program_that_does_not_exist_is_tried_again_not_a_crash(short_dir: Path) -> None:
    supervisor = Supervisor()
    kept = supervisor.start(spec(short_dir, str(short_dir / "absent")))
    await until(lambda: kept.restarts > 0)
    (short_dir / "absent").write_text("#!/bin/sh\nexec sleep 60\n")
    (short_dir / "absent").chmod(0o755)
    await until(lambda: kept.pid)
    await supervisor.stop()


def test_children_die_with_a_demo_that_is_killed(short_dir: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", DEMO_THAT_IS_KILLED, str(short_dir / "p.log")],
        stdout=subprocess.PIPE,
    )
    assert demo.stdout is not None
    child = int(demo.stdout.readline())
    assert alive(child)
    demo.kill()
    demo.wait(10)
    demo.stdout.close()
    until_sync(lambda: not alive(child))


def test_usage_counts_a_process_with_its_children() -> None:
    busy = (
        "x = bytearray(30_000_000)\nfor i in range(3_000_000): pass\nprint(1, flush=True)\ninput()"
    )
    shell = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1"; true', sys.executable, busy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdout.readline()
    reading = read_tree(shell.pid)
    shell.communicate(b"\n")
    assert reading is not None
    assert reading.cpu_s > 0
    assert reading.rss_bytes > 30_000_000
    assert read_tree(shell.pid) is None


def test_usage_adds_up_over_lives_and_starts_at_the_first_reading() -> None:
    usage = Usage()
    usage.add(10, Reading(5.0, 100))  # was running before: only what follows counts
    usage.add(10, Reading(6.0, 300))
    usage.add(11, Reading(0.5, 200), born=True)
    assert (usage.cpu_s, usage.rss_bytes_max) == (1.5, 300)
