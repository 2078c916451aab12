"""What the kernel knows of the error of its wall clock; read only, without privileges."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

US_PER_MS: Final = 1000
# The kernel's own word for "nobody has set this clock for so long that it means nothing".
MEANINGLESS_US: Final = 16_000_000
# Status bits: nobody keeps this clock in step; its source has failed.
STA_UNSYNC: Final = 0x0040
STA_CLOCKERR: Final = 0x1000


@dataclass(frozen=True, slots=True)
class WallClock:
    """The kernel's word on its wall clock: bound and likely size of the error against UTC, us."""

    max_error_us: int
    likely_error_us: int
    status: int = 0

    @property
    def healthy(self) -> bool:
        """Whether something keeps it in step with UTC; the bound says how well."""
        broken = self.status & (STA_UNSYNC | STA_CLOCKERR)
        return not broken and self.max_error_us < MEANINGLESS_US

    @property
    def max_error_ms(self) -> float:
        """The bound in ms."""
        return self.max_error_us / US_PER_MS


class _Timex(ctypes.Structure):
    """The first fields of ``struct timex``, and room for all that follow them."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 208),
    )


def read_wall_clock() -> WallClock | None:
    """Ask the kernel; None where it cannot be asked (no Linux, or a sandbox that forbids it)."""
    answer = _Timex()  # modes 0: nothing is set
    adjtimex = _adjtimex()
    if adjtimex is None or adjtimex(ctypes.byref(answer)) < 0:
        return None
    return WallClock(int(answer.maxerror), int(answer.esterror), int(answer.status))


@cache
def _adjtimex() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
