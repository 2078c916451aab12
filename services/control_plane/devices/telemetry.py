"""Telemetry of devices: each item is taken over once, whatever comes how often and when."""

import msgspec

from services.control_plane.devices.answer import Caller
from services.control_plane.devices.bodies import Item, Telemetry
from unisono.core.event_kinds import device_event
from unisono.core.site_document import SiteEvent
from unisono.state import keys
from unisono.state.documents import Batch, DeviceView
from unisono.state.records import Delivered, DriftFigures, TelemetryItem

# Telemetry is dated by the device; a clock further off than this is not believed.
MAX_AGE_MS = keys.TELEMETRY_LOG.ttl_ms or 0
MAX_AHEAD_MS = 60_000
# A device begins another queue when it starts anew; a late repeat of the one before may still come.
QUEUES = 8


def take_over(
    view: DeviceView, asked: Telemetry, caller: Caller, batch: Batch
) -> tuple[int, tuple[SiteEvent, ...]]:
    """Write the items that are new; the highest seq that is taken over, and the events."""
    before = {} if view.delivered.value is None else dict(view.delivered.value.seqs)
    highest = before.pop(asked.queue, 0)
    fresh = sorted((i for i in asked.items if i.seq > highest), key=lambda item: item.seq)
    if not fresh:
        return highest, ()
    name = caller.device_id
    batch.expect(keys.DELIVERED, name, view.delivered.raw)
    seqs = {**before, asked.queue: fresh[-1].seq}
    while len(seqs) > QUEUES:
        del seqs[next(iter(seqs))]
    batch.put(keys.DELIVERED, name, Delivered(seqs))
    events: list[SiteEvent] = []
    for item in fresh:
        at_ms = _believed_ms(item.at_ms, caller.now_ms)
        drift = None if item.drift_ms is None else msgspec.structs.asdict(item.drift_ms)
        figures = None if drift is None else DriftFigures(**drift)
        fields = msgspec.structs.asdict(item) | {"queue": asked.queue, "drift_ms": figures}
        batch.append(keys.TELEMETRY_LOG, at_ms, TelemetryItem(**fields), part=name)
        if figures is not None:
            _sum_up(batch, name, figures, at_ms)
        if item.event:
            events.append(_device_event(item, name, at_ms))
    return fresh[-1].seq, tuple(events)


def _sum_up(batch: Batch, name: str, drift: DriftFigures, at_ms: int) -> None:
    """Add a summary to its day."""
    date = keys.date_of(at_ms)
    if not drift.count or drift.mean_abs is None or drift.within_50ms_ratio is None:
        return
    batch.add(keys.DAY, f"{name} samples", drift.count, part=date)
    batch.add(keys.DAY, f"{name} abs_us", round(drift.mean_abs * 1000 * drift.count), part=date)
    batch.add(keys.DAY, f"{name} within", round(drift.within_50ms_ratio * drift.count), part=date)
    if drift.max is not None:
        batch.raise_to(keys.DAY, f"{name} max_us", round(drift.max * 1000), part=date)


def _device_event(item: Item, name: str, at_ms: int) -> SiteEvent:
    kind = device_event(item.event)
    detail = item.detail if kind == item.event else f"{item.event}: {item.detail}"
    return SiteEvent(kind, at_ms, item.session_id, item.term, name, detail=detail)


def _believed_ms(at_ms: int, now_ms: int) -> int:
    """When it happened, by the device's clock, unless that cannot be."""
    return at_ms if now_ms - MAX_AGE_MS <= at_ms <= now_ms + MAX_AHEAD_MS else now_ms
