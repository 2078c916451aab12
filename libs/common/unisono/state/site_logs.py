"""What happened at a site: sessions that are over, events, drift, telemetry, sums by day."""

from collections.abc import Sequence
from typing import TypeVar

from unisono.core.site_document import SessionRecord, SiteEvent
from unisono.state import keys
from unisono.state.codec import decode
from unisono.state.document_base import DocumentBase
from unisono.state.paging import Cursor, Entry, Page, page_of, to_read
from unisono.state.records import DriftPoint, TelemetryItem
from unisono.state.store import Entries, Fields
from unisono.state.views import numbers

T = TypeVar("T")

# Later than any time that is asked for.
_ALWAYS_MS = 2**53
# So many devices' drift in one read: the server serves nobody else meanwhile.
_DEVICES_AT_ONCE = 50


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

    async def events(
        self, site: str, *, before: Cursor | None = None, limit: int
    ) -> Page[SiteEvent]:
        """The events, those of devices among them, newest first; ``before``: the page after."""
        to_ms, count = _ALWAYS_MS if before is None else before.at_ms, to_read(before, limit)
        rows = (keys.EVENT_LOG, keys.DEVICE_LOG)
        wanted = [Entries(self._key(row, site), 0, to_ms, count) for row in rows]
        page = page_of(await self._store.entries(wanted), before, limit)
        return Page(_decoded(SiteEvent, page.items, "log"), page.next)

    async def flag_changes(self, site: str, limit: int) -> list[SiteEvent]:
        """The newest changes of the site's flags, newest first."""
        wanted = Entries(self._key(keys.FLAG_LOG, site), 0, _ALWAYS_MS, limit)
        (entries,) = await self._store.entries([wanted])
        return _decoded(SiteEvent, entries, "flag log")

    async def drift(
        self, site: str, device_ids: Sequence[str], *, from_ms: int, to_ms: int, most: int
    ) -> dict[str, list[tuple[int, DriftPoint]]]:
        """The drift of each device in [from_ms, to_ms], oldest first, ``most`` points in all.

        Where there are more, each device's are thinned evenly, and its newest one stays. One
        round trip for each 50 devices.
        """
        points: dict[str, list[tuple[int, DriftPoint]]] = {}
        for at in range(0, len(device_ids), _DEVICES_AT_ONCE):
            names = device_ids[at : at + _DEVICES_AT_ONCE]
            wanted = [
                Entries(self._key(keys.DRIFT_LOG, site, name), from_ms, to_ms, keys.DRIFT_LOG.keep)
                for name in names
            ]
            logs = await self._store.entries(wanted)
            for name, log in zip(names, logs, strict=True):
                kept = _thinned(log, most // len(device_ids))
                points[name] = _decoded(tuple[int, DriftPoint], kept[::-1], "drift")
        return points

    async def telemetry(
        self,
        site: str,
        device_id: str,
        *,
        from_ms: int,
        to_ms: int,
        before: Cursor | None = None,
        limit: int,
    ) -> Page[TelemetryItem]:
        """What a device delivered of [from_ms, to_ms], newest first; ``before``: the page after."""
        if before is not None and before.at_ms > to_ms:
            before = None
        key = self._key(keys.TELEMETRY_LOG, site, device_id)
        until_ms = to_ms if before is None else before.at_ms
        wanted = Entries(key, from_ms, until_ms, to_read(before, limit))
        page = page_of(await self._store.entries([wanted]), before, limit)
        return Page(_decoded(TelemetryItem, page.items, "telemetry"), page.next)

    async def days(self, site: str, dates: Sequence[str]) -> dict[str, dict[str, int]]:
        """What each day (YYYYMMDD, see `keys.date_of`) sums up to; {} where there is nothing."""
        found = await self._store.read([Fields(self._key(keys.DAY, site, date)) for date in dates])
        return {date: numbers(day, "day") for date, day in zip(dates, found, strict=True)}


def _decoded(kind: type[T], entries: Sequence[Entry], where: str) -> list[T]:
    """The documents in these entries, but for those that cannot be read."""
    found = (decode(kind, entry, where) for _, entry in entries)
    return [document for document in found if document is not None]


def _thinned(log: Sequence[Entry], most: int) -> Sequence[Entry]:
    """At most so many entries (one at least), evenly; of a log with the newest first."""
    step = -(-len(log) // max(1, most))
    return log[:: max(1, step)]
