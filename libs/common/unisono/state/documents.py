"""The control plane's documents over one store: typed, per site, two round trips per call.

Reads come as one view; all that a call writes goes in one atomic step, guarded by the version of
the site's document where a decision changes it. What else is kept (accounts, tokens, logs) lies
in `unisono.state.account_documents`, `unisono.state.enrolment` and `unisono.state.site_logs`.
"""

from collections.abc import Sequence
from typing import Any

from unisono.core.commands import Command
from unisono.core.session_state import SessionState
from unisono.core.site_document import Decision, SessionRecord, SiteDocument
from unisono.state import keys
from unisono.state.account_documents import AccountDocuments
from unisono.state.batch import NO_SITE, Batch
from unisono.state.codec import decode, decode_all, encode, number
from unisono.state.enrolment import Enrolment
from unisono.state.keys import Key
from unisono.state.records import (
    Ack,
    Delivered,
    DeviceRecord,
    HeartbeatReport,
    RuntimeReport,
)
from unisono.state.site_logs import SiteLogs
from unisono.state.store import Fields, Guard, Hash, SetFields, Watch
from unisono.state.views import (
    DeviceView,
    Kept,
    Others,
    SiteCounters,
    SiteOutline,
    SiteView,
    document_of,
    kept,
    numbers,
    others_of,
    progress_names,
    progress_of,
)

__all__ = [
    "NO_SITE",
    "Batch",
    "DeviceView",
    "DocumentStore",
    "Kept",
    "Others",
    "SiteCounters",
    "SiteOutline",
    "SiteView",
]

_OUTLINE = (keys.SITE, keys.PROGRESS, keys.DEVICES, keys.SEEN)
_COUNTERS = (keys.REQUESTS, keys.CPU, keys.EVENTS)


class DocumentStore(AccountDocuments, Enrolment, SiteLogs):
    """The control plane's state. A method is one round trip, where it does not say otherwise.

    See `Store` for the errors.
    """

    async def ping(self) -> None:
        """Return if the server answers."""
        await self._store.ping()

    async def close(self) -> None:
        """Give back the connections."""
        await self._store.close()

    def batch(self, site: str = NO_SITE) -> Batch:
        """An empty batch of writes for one site."""
        return Batch(self._prefix, site)

    async def device_view(
        self, site: str, device_id: str, *, now_ms: int, window: int, everyone: bool = False
    ) -> DeviceView:
        """What one device call needs; ``window`` is the present one of its rate limit.

        The other devices are read only if some session's time in `keys.LEADS` is over at
        ``now_ms``, or on request (``everyone``).
        """
        own = (device_id,)
        reads = [
            Fields(self._key(keys.SITE, site)),
            Fields(self._key(keys.DEVICES, site), own),
            Fields(self._key(keys.QUEUE, site, device_id)),
            Fields(self._key(keys.PROGRESS, site)),
            Fields(self._key(keys.LEADS, site)),
            Fields(self._key(keys.REPORTS, site), own),
            Fields(self._key(keys.SEEN, site), own),
            Fields(self._key(keys.STATUSES, site), own),
            Fields(self._key(keys.DELIVERED, site), own),
            Fields(self._key(keys.ACKS, site), own),
            Fields(self._key(keys.RATE, site, str(window)), own),
        ]
        all_rows = (keys.SEEN, keys.REPORTS, keys.STATUSES)
        all_of = tuple(Fields(self._key(row, site)) for row in all_rows)
        if everyone:
            found = await self._store.read([*reads, *all_of])
            found, rest = found[: len(reads)], found[len(reads) :]
            others: Others | None = others_of(*rest)
        else:
            watch = Watch(self._key(keys.LEADS, site), now_ms, all_of)
            found, watched = await self._store.read_watching(reads, watch)
            others = None if watched is None else others_of(*watched)
        document, records, queue, progress, leads, *own_fields, calls = found
        report, seen, status, delivered, ack = (fields.get(device_id) for fields in own_fields)
        version, sessions = document_of(document)
        known, strays = progress_of(sessions, progress)
        return DeviceView(
            record=kept(DeviceRecord, records.get(device_id), "devices"),
            queue=tuple(sorted(decode_all(Command, queue, "queue").values(), key=_seq)),
            version=version,
            site=sessions,
            progress=known,
            strays=strays,
            leads=numbers(leads, "leads"),
            report=decode(HeartbeatReport, report, "reports"),
            seen_ms=decode(int, seen, "seen"),
            status=decode(RuntimeReport, status, "statuses"),
            delivered=kept(Delivered, delivered, "delivered"),
            ack=kept(Ack, ack, "acks"),
            calls=number(calls.get(device_id), "rate"),
            others=others,
        )

    async def settle(
        self,
        batch: Batch,
        *,
        view: DeviceView | SiteOutline | None = None,
        decision: Decision | None = None,
    ) -> bool:
        """Apply a batch, and make a decision durable with it: all or nothing.

        ``view`` is what the decision was made of: if it changes the site's document, that is
        written on condition that it is still as it was read; if not, it is not written, and
        guarded only if there are commands. A decision's commands, ended sessions and events are
        written either way.
        False: a guard does not hold, nothing was written; another instance was faster, so read
        and decide again. ValueError: a decision without its view.
        """
        whole = self.batch(batch.site)
        if decision is not None:
            if view is None:
                raise ValueError("a decision is settled with the view that it was made of")
            if decision.site != view.site:
                _put_document(whole, view, decision.site)
            elif decision.commands:
                # They take the place of what waits: of a newer one, if the document has moved on.
                _guard_version(whole, view)
            _put_outcome(whole, decision)
        whole.extend(batch)
        if not whole.writes and not whole.guards:
            return True
        return await self._store.commit(whole.guards, whole.writes)

    async def site_outline(self, site: str) -> SiteOutline:
        """One site without what its devices said: what it costs hardly grows with them."""
        return SiteOutline(**_outline(*await self._site(site, _OUTLINE)))

    async def site_view(self, site: str) -> SiteView:
        """Everything about one site."""
        rows = (*_OUTLINE, keys.REPORTS, keys.STATUSES, keys.ACKS, *_COUNTERS)
        exists, found = await self._site(site, rows)
        reports, statuses, acks, requests, cpu_us, events = found[len(_OUTLINE) :]
        return SiteView(
            **_outline(exists, found[: len(_OUTLINE)]),
            reports=decode_all(HeartbeatReport, reports, "reports"),
            statuses=decode_all(RuntimeReport, statuses, "statuses"),
            acks=decode_all(Ack, acks, "acks"),
            requests=numbers(requests, "requests"),
            cpu_us=numbers(cpu_us, "cpu"),
            events=numbers(events, "events"),
        )

    async def site_counters(self, site: str) -> SiteCounters:
        """What is counted at one site (or of what belongs to none)."""
        rows = (*_OUTLINE, *_COUNTERS)
        found = await self._store.read([Fields(self._key(row, site)) for row in rows])
        document, progress, devices, seen, requests, cpu_us, events = found
        _, sessions = document_of(document)
        return SiteCounters(
            site=sessions,
            progress=progress_of(sessions, progress)[0],
            device_ids=frozenset(devices),
            seen_ms=numbers(seen, "seen"),
            requests=numbers(requests, "requests"),
            cpu_us=numbers(cpu_us, "cpu"),
            events=numbers(events, "events"),
        )

    async def _site(self, site: str, rows: Sequence[Key]) -> tuple[bool, list[Hash]]:
        """Whether the site exists, and what these keys of it hold."""
        reads = [Fields(self._key(row, site)) for row in rows]
        exists, *found = await self._store.read([Fields(self._key(keys.SITES), (site,)), *reads])
        return bool(exists), found

    async def sites(self) -> list[str]:
        """Every site, in order of name."""
        (fields,) = await self._store.read([Fields(self._key(keys.SITES))])
        return sorted(fields)

    async def ended(self, site: str, session_id: str) -> SessionRecord | None:
        """A session that has ended, while it is remembered."""
        (fields,) = await self._store.read([Fields(self._key(keys.ENDED, site, session_id))])
        return decode(SessionRecord, fields.get("d"), "ended")


def _outline(exists: bool, found: Sequence[Hash]) -> dict[str, Any]:
    """The fields of a `SiteOutline`, of what the keys of `_OUTLINE` hold."""
    document, progress, devices, seen = found
    version, sessions = document_of(document)
    known, strays = progress_of(sessions, progress)
    return {
        "exists": exists,
        "version": version,
        "site": sessions,
        "progress": known,
        "strays": strays,
        "devices": decode_all(DeviceRecord, devices, "devices"),
        "seen_ms": numbers(seen, "seen"),
    }


def _seq(command: Command) -> int:
    return command.seq


def _guard_version(batch: Batch, view: DeviceView | SiteOutline) -> None:
    """The site's document must still be the one that was read."""
    expected = b"%d" % view.version if view.version else None
    batch.guards.append(Guard(batch.key(keys.SITE), "v", expected))


def _put_document(batch: Batch, view: DeviceView | SiteOutline, site: SiteDocument) -> None:
    """Write the next document if it is still the one in ``view``; forget what sessions left.

    Every session that is new or changed is looked after at the next call of any device, unless
    the batch of this call says later than that (`keys.LEADS`).
    """
    _guard_version(batch, view)
    fields = {"v": b"%d" % (view.version + 1), "d": encode(site)}
    batch.writes.append(SetFields(batch.key(keys.SITE), fields, keys.SITE.ttl_ms))
    batch.drop(keys.PROGRESS, view.strays)
    before = {record.spec.session_id: record for record in view.site.sessions}
    for record in site.sessions:
        session_id = record.spec.session_id
        old = before.pop(session_id, None)
        if old is not None and old.revision != record.revision:
            batch.drop(keys.PROGRESS, progress_names(session_id, old.revision)[:2])
        if record.state is SessionState.STOPPING:
            batch.drop(keys.LEADS, (session_id,))
        elif record != old:
            batch.put(keys.LEADS, session_id, 0)
    for session_id, old in before.items():
        _forget(batch, session_id, old.revision)


def _put_outcome(batch: Batch, decision: Decision) -> None:
    """Write what a decision brings about beside the document."""
    batch.enqueue(decision.commands)
    for record in decision.ended:
        session_id = record.spec.session_id
        fields = {"v": b"1", "d": encode(record)}
        key = batch.key(keys.ENDED, session_id)
        batch.writes.append(SetFields(key, fields, keys.ENDED.ttl_ms))
        batch.append(keys.HISTORY, record.spec.start_at_ms, session_id)
        _forget(batch, session_id, record.revision)
    for event in decision.events:
        batch.happened(event)


def _forget(batch: Batch, session_id: str, revision: int) -> None:
    batch.drop(keys.LEADS, (session_id,))
    batch.drop(keys.PROGRESS, progress_names(session_id, revision))
