"""The beat: a fixed grid on the own clock, and how well it is kept."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs

LOG_EVERY_NS: Final = 10 * NS_PER_S

_log = logging.getLogger("unisono.beacon")


class Beat:
    """Calls ``step`` at every point of a grid of ``rate_hz``.

    Point n is at the start plus n whole periods, so nothing adds up; points that were missed are
    left out, never made up for.
    """

    def __init__(self, rate_hz: float, own_ns: Callable[[], OwnNs]) -> None:
        self._period_ns = round(NS_PER_S / rate_hz)
        self._own_ns = own_ns
        self._late_ns: list[int] = []
        self._missed = 0
        self.late_p99_ns: int | None = None  # of the last ten seconds

    async def run(self, step: Callable[[], None], tell: Callable[[], tuple[int, int]]) -> None:
        """Beat until cancelled; ``tell`` says how many beacons were sent and refused so far."""
        start_ns = logged_ns = self._own_ns()
        number = 0
        while True:
            due_ns = start_ns + number * self._period_ns
            await asyncio.sleep((due_ns - self._own_ns()) / NS_PER_S)
            now_ns = self._own_ns()
            step()
            self._late_ns.append(now_ns - due_ns)
            following = max(number + 1, (self._own_ns() - start_ns) // self._period_ns + 1)
            self._missed += following - number - 1
            number = following
            if now_ns - logged_ns >= LOG_EVERY_NS:
                self._log(now_ns - logged_ns, *tell())
                logged_ns = now_ns

    def _log(self, span_ns: int, sent: int, refused: int) -> None:
        """One line of what the last seconds were like."""
        late_ns = sorted(self._late_ns)
        self._late_ns = []
        self.late_p99_ns = late_ns[len(late_ns) * 99 // 100]
        _log.info(
            "sent %d beacons, %.2f Hz, late p50 %.2f p99 %.2f max %.2f ms, %d beats missed, "
            "%d sends refused",
            *(sent, len(late_ns) * NS_PER_S / span_ns, late_ns[len(late_ns) // 2] / NS_PER_MS),
            *(self.late_p99_ns / NS_PER_MS, late_ns[-1] / NS_PER_MS, self._missed, refused),
        )
