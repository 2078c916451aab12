"""What the process counts over all its roles, and the log of what it refuses."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from unisono.wire import Refused

# One line for each reason in this time, however many messages were refused.
LOG_EVERY_S: Final = 10.0

_log = logging.getLogger("unisono.beacon")


@dataclass(slots=True)
class Counters:
    """Only growing; `unisono.bus.topics.LinkStats` is made from them."""

    sent: int = 0
    unsent: int = 0
    received: int = 0
    lost: int = 0
    probes_sent: int = 0
    probes_answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    received_by_path: Counter[str] = field(default_factory=Counter)
    _logged_s: dict[str, float] = field(default_factory=dict)
    _logged_count: dict[str, int] = field(default_factory=dict)

    def refuse(
        self, refused: Refused, source: str, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Count a message that was not used; now and then, log who sent it and why not."""
        reason = refused.reason.value
        self.refused[reason] += 1
        at_s = now_s()
        if at_s - self._logged_s.get(reason, -LOG_EVERY_S) < LOG_EVERY_S:
            return
        count = self.refused[reason] - self._logged_count.get(reason, 0)
        self._logged_s[reason], self._logged_count[reason] = at_s, self.refused[reason]
        _log.warning("refused %d from %s: %s", count, source, refused)
