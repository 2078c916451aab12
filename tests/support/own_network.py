"""A test's own network: a namespace that one thread enters, and that ends with it."""

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from unisono.runtime import new_loop

_CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> None:
    """``ip`` in the caller's namespace; its words go where a failure shows them."""
    done = subprocess.run(("ip", *arguments), check=False, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


def in_own_network(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``play()`` in a loop in a thread that sees no network but a fresh one."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET):  # of this thread alone
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(play())
        except BaseException as failure:  # noqa: BLE001  (raised again below)
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for failure in failures:
        raise failure
