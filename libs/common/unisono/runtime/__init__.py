"""What every process shares to live and die well."""

from unisono.core.errors import UserError
from unisono.runtime.loop import (
    EXIT_USAGE,
    Clock,
    SystemClock,
    new_loop,
    repeat,
    run_daemon,
    set_log_level,
    set_up_log,
    until_signal,
)

__all__ = [
    "EXIT_USAGE",
    "Clock",
    "SystemClock",
    "UserError",
    "new_loop",
    "repeat",
    "run_daemon",
    "set_log_level",
    "set_up_log",
    "until_signal",
]
