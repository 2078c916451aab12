"""What a device has to tell over time, from its samples to what travels with the next status."""

import logging
from typing import Any

import msgspec

from services.cloud_bridge.happenings import Happenings, Minutes
from unisono.bus.topics import DriftSample
from unisono.core.outbox import Outbox, Told
from unisono.core.units import OwnNs

_log = logging.getLogger(__name__)


class Telling:
    """Summaries and events: heard of here, numbered in the outbox, sent until taken over."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._happenings = Happenings()
        self._minutes = Minutes()
        self._lost_told = 0

    def hear(self, sample: DriftSample, now_own_ns: OwnNs, wall_ms: int) -> None:
        """A sample of the corrector."""
        for told in self._happenings.hear(sample, now_own_ns, wall_ms):
            self._outbox.put(told)
        summary = self._minutes.hear(sample, now_own_ns, wall_ms)
        if summary is not None:
            self._outbox.put(summary)

    def body(self) -> dict[str, Any] | None:
        """What to send along now; None when there is nothing to tell."""
        batch = self._outbox.batch()
        if not batch:
            return None
        items = [{"seq": item.seq, **msgspec.to_builtins(item.told)} for item in batch]
        return {"queue": self._outbox.queue, "items": items}

    def delivered(self, seq: int, wall_ms: int) -> None:
        """The cloud has taken over all up to ``seq``; now it can be told what it never will get."""
        self._outbox.delivered(seq)
        lost = self._outbox.lost - self._lost_told
        if lost and not self._outbox.full:  # saying so must not cost another item
            detail = f"{lost} items were dropped, the oldest first, before the cloud took them"
            _log.warning("telemetry: %s", detail)
            self._outbox.put(Told(at_ms=wall_ms, event="telemetry_lost", detail=detail))
            self._lost_told = self._outbox.lost

    def rejected(self, sent: dict[str, Any] | None) -> None:
        """The cloud will never take what was sent: it must not stand in the way of the rest."""
        if sent is not None:
            self._outbox.give_up(sent["items"][-1]["seq"])
