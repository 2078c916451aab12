"""The event loop of every daemon: exact, for any number of descriptors; broken, it ends."""

import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from unisono.runtime.loop import EXIT_BROKEN, ExactSelector, new_loop

HIGH = 1_500  # beyond what `select` can watch


@pytest.fixture
def room_for_many() -> Iterator[None]:
    """A limit of open files that lets a descriptor be `HIGH`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * HIGH)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_descriptor_may_have_any_number(room_for_many: None) -> None:
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, HIGH)
    loop = new_loop()
    seen: list[bytes] = []

    def read() -> None:
        seen.append(os.read(high, 9))
        loop.stop()

    try:
        loop.add_reader(high, read)
        loop.call_later(0.000_2, os.write, writer, b"x")
        loop.run_forever()
        loop.remove_reader(high)
    finally:
        loop.close()
        for number in (reader, writer, high):
            os.close(number)
    assert seen == [b"x"]


@pytest.mark.parametrize("timeout_s", [0.000_1, 0.000_9, 0.001_5])
def test_a_wait_is_not_rounded_to_milliseconds(timeout_s: float) -> None:
    with ExactSelector() as selector:
        waits = []
        for _ in range(30):
            began = time.monotonic()
            assert selector.select(timeout_s) == []
            waits.append(time.monotonic() - began)
    assert min(waits) >= timeout_s
    assert min(waits) < timeout_s + 0.000_45  # epoll alone would wait a whole millisecond


BROKEN = """
import asyncio, time
from unisono.runtime import run_daemon

async def serve():
    # Work in a thread, such as the look-up of a name: at its end the interpreter waits for it.
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    asyncio.get_running_loop()._selector.close()
    await asyncio.sleep(60)

raise SystemExit(run_daemon("beacon", serve))
"""


def test_a_loop_that_breaks_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == EXIT_BROKEN
    assert "ended by a fault of its own" in done.stderr
