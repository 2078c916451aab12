"""Waiting for what real processes bring about, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """Return once ``condition()`` is true; TimeoutError after ``limit_s``."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  (another process brings it about)
            await asyncio.sleep(0.01)


def until_sync(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """`until` for tests without a loop."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"still not so after {limit_s:g} s")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
