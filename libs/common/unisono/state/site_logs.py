"""What happened at a site: sessions that are over, events, drift, telemetry, sums by day."""

from collections.abc import Sequence

from unisono.core.site_document import SessionRecord, SiteEvent
from unisono.state import keys
from unisono.state.codec import decode
from unisono.state.document_base import DocumentBase
from unisono.state.records import DriftPoint, TelemetryItem
from unisono.state.store import Entries, Fields
from unisono.state.views import numbers

# Later than any time that is asked for.
_ALWAYS_MS = 2**53


class SiteLogs(DocumentBase):
    """The logs of a site. `Batch.append` and `DocumentStore.settle` write them."""

    async def history(self, site: str, limit: int) -> list[SessionRecord]:
        """The sessions that are over, the one that started last first. Two round trips."""
        wanted = Entries(self._key(keys.HISTORY, site), 0, _ALWAYS_MS, limit)
        (entries,) = await self._store.entries([wanted])
        ids = [decode(str, entry, "history") for _, entry in entries]
        reads = [Fields(self._key(keys.ENDED, site, found)) for found in ids if found is not None]
        if not reads:
            return []
        ended = (
            decode(SessionRecord, fields.get("d"), "ended")
            for fields in await self._store.read(reads)
        )
        return [record for record in ended if record is not None]

    async def events(self, site: str, *, before_ms: int, limit: int) -> list[SiteEvent]:
        """The newest events before that time, newest first."""
        wanted = Entries(self._key(keys.EVENT_LOG, site), 0, before_ms - 1, limit)
        (entries,) = await self._store.entries([wanted])
        events = (decode(SiteEvent, entry, "log") for _, entry in entries)
        return [event for event in events if event is not None]

    async def drift(
        self, site: str, device_ids: Sequence[str], *, from_ms: int, to_ms: int
    ) -> dict[str, list[tuple[int, DriftPoint]]]:
        """The drift of each device in [from_ms, to_ms], oldest first."""
        limit = keys.DRIFT_LOG.keep
        wanted = [
            Entries(self._key(keys.DRIFT_LOG, site, name), from_ms, to_ms, limit)
            for name in device_ids
        ]
        logs = await self._store.entries(wanted)
        points: dict[str, list[tuple[int, DriftPoint]]] = {}
        for name, log in zip(device_ids, logs, strict=True):
            found = (decode(tuple[int, DriftPoint], entry, "drift") for _, entry in reversed(log))
            points[name] = [point for point in found if point is not None]
        return points

    async def telemetry(
        self, site: str, device_id: str, *, from_ms: int, to_ms: int, limit: int
    ) -> list[TelemetryItem]:
        """What a device delivered of [from_ms, to_ms], newest first."""
        key = self._key(keys.TELEMETRY_LOG, site, device_id)
        (entries,) = await self._store.entries([Entries(key, from_ms, to_ms, limit)])
        items = (decode(TelemetryItem, entry, "telemetry") for _, entry in entries)
        return [item for item in items if item is not None]

    async def days(self, site: str, dates: Sequence[str]) -> dict[str, dict[str, int]]:
        """What each day (YYYYMMDD, see `keys.date_of`) sums up to; {} where there is nothing."""
        found = await self._store.read([Fields(self._key(keys.DAY, site, date)) for date in dates])
        return {date: numbers(day, "day") for date, day in zip(dates, found, strict=True)}
