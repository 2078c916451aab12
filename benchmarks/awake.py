"""Keeps every processor of this machine awake while a block runs.

A virtual processor that was halted takes 0.1 to 0.9 ms to wake, which a lab's hosts and switch
would all add to each message: the machine's own noise, not the network's. Nothing else is kept
from running: the scheduler gives idle-class processes only what nobody wants.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Spin at the lowest class of all on each processor."""
    spinners = [
        multiprocessing.Process(target=_spin, args=(processor,), daemon=True)
        for processor in os.sched_getaffinity(0)
    ]
    for spinner in spinners:
        spinner.start()
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.join()


def _spin(processor: int) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setaffinity(0, {processor})
    while True:
        pass
