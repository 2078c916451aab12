"""Clock domains and the conversions between units of time.

Four clocks that never mix. The first three have types of their own, so that the type checker
catches a reading of one clock passed for another's:

* ``OwnNs``: this device's monotonic clock (``time.monotonic_ns``);
* ``MasterNs``: the master's monotonic clock, reached only through a clock map;
* ``WallNs``: UTC since the epoch, used for ``start_at_ms`` and in cloud mode only;
* phase: time on the playlist's timeline, a plain ``int`` named ``phase_ns``.

A timeline may live on the master's clock or, in cloud mode, on the wall clock: there its origin is
a plain ``int``, and `unisono.core.target` is the one place that keeps the two apart.

The difference of two readings of one clock is a duration, a plain ``int`` of nanoseconds.
"""

from typing import NewType

OwnNs = NewType("OwnNs", int)
MasterNs = NewType("MasterNs", int)
WallNs = NewType("WallNs", int)

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
PPB = 1_000_000_000


def ms_to_ns(value_ms: float) -> int:
    """Nanoseconds nearest to ``value_ms``; exact for whole milliseconds of any size."""
    return value_ms * NS_PER_MS if isinstance(value_ms, int) else round(value_ms * NS_PER_MS)


def ns_to_ms(value_ns: int) -> float:
    """Milliseconds as a float: exact to 1 ns for values below about 100 days."""
    return value_ns / NS_PER_MS


def s_to_ns(value_s: float) -> int:
    """Nanoseconds nearest to ``value_s``."""
    return round(value_s * NS_PER_S)


def ns_to_s(value_ns: int) -> float:
    """Seconds as a float."""
    return value_ns / NS_PER_S


def scale_ppb(value_ns: int, rate_ppb: int) -> int:
    """``value_ns * rate_ppb / 1e9`` in whole nanoseconds, without passing through a float."""
    return value_ns * rate_ppb // PPB
