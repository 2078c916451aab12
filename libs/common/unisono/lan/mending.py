"""When a path is set up again: after a silence, or a second after a failure."""

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from unisono.clock import own_ns
from unisono.core.units import NS_PER_S
from unisono.lan.errors import InterfaceUnknown, LanError

T = TypeVar("T")

# A LAN that is coming back is caught within a second; one that is away costs next to nothing.
RETRY_NS: Final = NS_PER_S

# What the kernel says of an address that no interface has (any more).
_AWAY: Final = frozenset((errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENETUNREACH))

_log = logging.getLogger(__name__)


def resolve(where: Callable[[], T]) -> T:
    """What ``where`` says; what it cannot say now is `InterfaceUnknown`, to be asked again."""
    try:
        return where()
    except (LanError, OSError) as error:  # OSError: no descriptor left to look with
        raise InterfaceUnknown(str(error)) from None


def refusal(problem: str, error_number: int | None) -> LanError:
    """``problem`` as `InterfaceUnknown` where it is that, and may pass; else as `LanError`."""
    return InterfaceUnknown(problem) if error_number in _AWAY else LanError(problem)


class Upkeep:
    """Sets a path up, and up again; one line of log for each new trouble.

    ``set_up`` is what does it, leaving nothing behind when it raises `LanError`. ``sends``: whether
    that was of any use shows at the next send that is taken (`works`), not before.
    """

    def __init__(self, path: str, set_up: Callable[[], None], *, sends: bool = False) -> None:
        self._path = path
        self._set_up = set_up
        self._sends = sends
        self._by_itself = False  # was set up so, and has not worked since
        self._due_ns = 0
        self._told = ""
        self.is_open = False
        self.restarts = 0

    def open(self) -> None:
        """The first time: what cannot work is raised, an interface that is away waited for."""
        try:
            self._set_up()
        except InterfaceUnknown as error:
            self.failed(error)
        self.is_open = True

    def close(self) -> None:
        """Not again."""
        self.is_open = False

    def renew(self) -> bool:
        """Again, because the LAN has changed; False when it did not work."""
        return self._again(by_itself=False)

    def mend(self) -> bool:
        """Again, by itself, which is counted; False when it did not work."""
        return self._again(by_itself=True)

    def mend_if_due(self) -> bool:
        """As `mend`, at most once a second."""
        if (now_ns := own_ns()) < self._due_ns:
            return False
        self._due_ns = now_ns + RETRY_NS
        return self.mend()

    def failed(self, error: Exception) -> None:
        """Say so, unless it was the last thing said."""
        if (text := str(error)) != self._told:
            self._told = text
            _log.warning("beacons by %s: %s; trying again", self._path, text)

    def works(self) -> None:
        """It does what it is for: whatever was the matter is over."""
        self.restarts += self._by_itself
        self._by_itself = False
        if self._told:
            self._told = ""
            _log.info("beacons by %s: set up again", self._path)

    def _again(self, *, by_itself: bool) -> bool:
        if not self.is_open:
            return False
        try:
            self._set_up()
        except LanError as error:
            self.failed(error)
            return False
        self._by_itself |= by_itself
        if not self._sends:
            self.works()
        return True


class Watchdog:
    """Calls ``mend`` after ``first_s`` of silence, then ever more slowly, up to ``longest_s``."""

    def __init__(self, mend: Callable[[], object], *, first_s: float, longest_s: float) -> None:
        self._mend = mend
        self._first_s = self._patience_s = first_s
        self._longest_s = longest_s
        self._since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on."""
        self.stop()
        self._patience_s = self._first_s
        self._arm()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """It is not silent: what counts is a master's word, not any stranger's noise."""
        if self._timer is None:
            return
        if self._patience_s > self._first_s:  # the timer is set too far away
            self.start()
        else:
            self._since_s = asyncio.get_running_loop().time()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._since_s = loop.time()
        self._timer = loop.call_later(self._patience_s, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = self._since_s + self._patience_s
        if loop.time() < due_s:  # a timer moved at each beacon would cost more
            self._timer = loop.call_at(due_s, self._look)
            return
        self._patience_s = min(2 * self._patience_s, self._longest_s)
        self._arm()
        self._mend()
