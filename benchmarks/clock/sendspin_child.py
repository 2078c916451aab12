"""Runs Sendspin's own filter over a trace; started by `sendspin` with another Python.

It must import nothing of this repository. In: one pickle of a list of steps, ``None`` for a
reset, ``(offset_us, max_error_us, at_us)`` for a measurement, ``at_us`` for a reading. Out: one
pickle of a list, ``(offset_us, error_us)`` or None by reading.
"""

import pickle
import sys
from typing import Any

from aiosendspin.client.time_sync import SendspinTimeFilter  # type: ignore[import-not-found]


def _run(steps: list[Any]) -> list[Any]:
    time_filter = SendspinTimeFilter()
    said: list[Any] = []
    for step in steps:
        if step is None:
            time_filter.reset()
        elif isinstance(step, tuple):
            time_filter.update(*step)
        elif time_filter.is_synchronized:
            said.append((time_filter.compute_server_time(step) - step, time_filter.error))
        else:
            said.append(None)
    return said


while True:
    try:
        asked = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    except EOFError:
        break
    pickle.dump(_run(asked), sys.stdout.buffer)
    sys.stdout.buffer.flush()
