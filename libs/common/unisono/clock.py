"""The one place where the shells read this device's monotonic clock."""

import time

from unisono.core.units import OwnNs


def own_ns() -> OwnNs:
    """This device's monotonic clock (``CLOCK_MONOTONIC``), now."""
    return OwnNs(time.monotonic_ns())
