"""The control plane's documents over one store: typed, per site, two round trips per call.

Reads come as one view, plain writes are gathered in a `Batch` and applied together, and what
decisions change goes through one atomic commit that is guarded by the site document's version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unisono.core.commands import Command
from unisono.core.site_document import Decision, SessionRecord, SiteDocument
from unisono.state import keys
from unisono.state.codec import decode, decode_all, encode, number
from unisono.state.keys import Key, cloud_key
from unisono.state.records import (
    Ack,
    DeviceRecord,
    EnrolToken,
    HeartbeatReport,
    RuntimeReport,
)
from unisono.state.store import AddTo, DropFields, Fields, Guard, SetFields, Store, Write

NO_SITE = "-"


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What one device call needs: its record, its queue, its site's sessions, who is alive.

    ``ack`` is the last one of the device, in a call that asked for it.
    """

    record: DeviceRecord | None
    queue: tuple[Command, ...]
    version: int
    site: SiteDocument
    reports: Mapping[str, HeartbeatReport]
    seen_ms: Mapping[str, int]
    ack: Ack | None = None


@dataclass(frozen=True, slots=True)
class SiteView:
    """A whole site."""

    exists: bool
    version: int
    site: SiteDocument
    devices: Mapping[str, DeviceRecord]
    reports: Mapping[str, HeartbeatReport]
    statuses: Mapping[str, RuntimeReport]
    seen_ms: Mapping[str, int]
    requests: Mapping[str, int]
    events: Mapping[str, int]


@dataclass(slots=True)
class Batch:
    """Plain writes of one call, applied together at its end (`DocumentStore.apply`)."""

    prefix: str
    site: str = NO_SITE
    writes: list[Write] = field(default_factory=list)

    def put(self, row: Key, name: str, document: object, part: str = "") -> None:
        """Set one field of ``row``'s key to a document."""
        key = cloud_key(self.prefix, row, self.site, part)
        self.writes.append(SetFields(key, {name: encode(document)}, row.ttl_ms))

    def drop(self, row: Key, names: Sequence[str], part: str = "") -> None:
        """Remove fields of ``row``'s key."""
        if names:
            key = cloud_key(self.prefix, row, self.site, part)
            self.writes.append(DropFields(key, tuple(names)))

    def count(self, row: Key, name: str) -> None:
        """Add one to a counter."""
        self.writes.append(AddTo(cloud_key(self.prefix, row, self.site), name, 1, row.ttl_ms))

    def enqueue(self, commands: Sequence[tuple[str, Command]]) -> None:
        """Put commands into the queues of their devices; one that waits already is replaced."""
        for device_id, command in commands:
            self.put(keys.QUEUE, command.command_id, command, device_id)


class DocumentStore:
    """The control plane's state. A method is one round trip, but for `add_tokens`.

    See `Store` for the errors.
    """

    def __init__(self, store: Store, prefix: str = keys.PREFIX) -> None:
        self._store = store
        self._prefix = prefix

    async def ping(self) -> None:
        """Return if the server answers."""
        await self._store.ping()

    async def close(self) -> None:
        """Give back the connections."""
        await self._store.close()

    def batch(self, site: str = NO_SITE) -> Batch:
        """An empty batch of writes for one site."""
        return Batch(self._prefix, site)

    async def apply(self, batch: Batch) -> None:
        """Apply a batch."""
        await self._store.write(batch.writes)

    async def device_view(self, site: str, device_id: str, *, with_ack: bool = False) -> DeviceView:
        """What one device call needs; ``with_ack``: its last ack, too."""
        reads = [
            Fields(self._key(keys.SITE, site)),
            Fields(self._key(keys.DEVICES, site), (device_id,)),
            Fields(self._key(keys.QUEUE, site, device_id)),
            Fields(self._key(keys.REPORTS, site)),
            Fields(self._key(keys.SEEN, site)),
        ]
        if with_ack:
            reads.append(Fields(self._key(keys.ACKS, site), (device_id,)))
        document, records, queue, reports, seen, *acks = await self._store.read(reads)
        return DeviceView(
            record=decode(DeviceRecord, records.get(device_id), "devices"),
            queue=tuple(decode_all(Command, queue, "queue").values()),
            version=_version(document),
            site=decode(SiteDocument, document.get("d"), "site") or SiteDocument(),
            reports=decode_all(HeartbeatReport, reports, "reports"),
            seen_ms=_numbers(seen, "seen"),
            ack=decode(Ack, acks[0].get(device_id), "acks") if acks else None,
        )

    async def site_view(self, site: str) -> SiteView:
        """Everything about one site."""
        rows = (
            keys.SITE, keys.DEVICES, keys.REPORTS, keys.STATUSES, keys.SEEN, keys.REQUESTS,
            keys.EVENTS,
        )  # fmt: skip
        reads = [Fields(self._key(row, site)) for row in rows]
        (
            known,
            document,
            devices,
            reports,
            statuses,
            seen,
            requests,
            events,
        ) = await self._store.read([Fields(self._key(keys.SITES), (site,)), *reads])
        return SiteView(
            exists=bool(known),
            version=_version(document),
            site=decode(SiteDocument, document.get("d"), "site") or SiteDocument(),
            devices=decode_all(DeviceRecord, devices, "devices"),
            reports=decode_all(HeartbeatReport, reports, "reports"),
            statuses=decode_all(RuntimeReport, statuses, "statuses"),
            seen_ms=_numbers(seen, "seen"),
            requests=_numbers(requests, "requests"),
            events=_numbers(events, "events"),
        )

    async def sites(self) -> list[str]:
        """Every site, in order of name."""
        (fields,) = await self._store.read([Fields(self._key(keys.SITES))])
        return sorted(fields)

    async def commit(self, site: str, version: int, decision: Decision) -> bool:
        """Make a decision durable if the site document is still at ``version``.

        The next document, the commands, the ended sessions and the counters of what happened:
        all or nothing. False: another instance was faster; load and decide again.
        """
        batch = self.batch(site)
        batch.enqueue(decision.commands)
        for record in decision.ended:
            fields = {"v": b"1", "d": encode(record)}
            key = self._key(keys.ENDED, site, record.spec.session_id)
            batch.writes.append(SetFields(key, fields, keys.ENDED.ttl_ms))
        for event in decision.events:
            batch.count(keys.EVENTS, event)
        key = self._key(keys.SITE, site)
        fields = {"v": b"%d" % (version + 1), "d": encode(decision.site)}
        batch.writes.append(SetFields(key, fields))
        guard = Guard(key, "v", b"%d" % version if version else None)
        return await self._store.commit([guard], batch.writes)

    async def ended(self, site: str, session_id: str) -> SessionRecord | None:
        """A session that has ended, while it is remembered."""
        (fields,) = await self._store.read([Fields(self._key(keys.ENDED, site, session_id))])
        return decode(SessionRecord, fields.get("d"), "ended")

    async def add_tokens(self, site: str, tokens: Mapping[str, EnrolToken], *, now_ms: int) -> None:
        """Give out tokens (by their hash); the site exists from then on.

        Those that expired are forgotten: this is the one method of two round trips.
        """
        key = self._key(keys.ENROL_TOKENS, site)
        (held,) = await self._store.read([Fields(key)])
        known = decode_all(EnrolToken, held, "tokens")
        old = (d for d, t in known.items() if t.expires_ms is not None and t.expires_ms <= now_ms)
        fields = {digest: encode(token) for digest, token in tokens.items()}
        await self._store.write(
            [
                DropFields(key, tuple(old)),
                SetFields(key, fields),
                SetFields(self._key(keys.SITES), {site: b""}),
            ]
        )

    async def token(self, site: str, digest: str) -> EnrolToken | None:
        """The token of that hash, as it is kept (see `EnrolToken`)."""
        (fields,) = await self._store.read([Fields(self._key(keys.ENROL_TOKENS, site), (digest,))])
        return decode(EnrolToken, fields.get(digest), "tokens")

    async def enrol(self, site: str, digest: str, token: EnrolToken, record: DeviceRecord) -> bool:
        """Spend the token and keep the device; False if either was there before, or changed."""
        tokens, devices = self._key(keys.ENROL_TOKENS, site), self._key(keys.DEVICES, site)
        spend: Write
        if token.expires_ms is None:
            spent = EnrolToken(None, record.device_id)
            spend = SetFields(tokens, {digest: encode(spent)})
        else:
            spend = DropFields(tokens, (digest,))
        return await self._store.commit(
            [Guard(tokens, digest, encode(token)), Guard(devices, record.device_id, None)],
            [spend, SetFields(devices, {record.device_id: encode(record)})],
        )

    def _key(self, row: Key, site: str = "", part: str = "") -> str:
        return cloud_key(self._prefix, row, site, part)


def _version(document: Mapping[str, bytes]) -> int:
    return number(document.get("v"), "site version")


def _numbers(fields: Mapping[str, bytes], where: str) -> dict[str, int]:
    return {name: number(body, where) for name, body in fields.items()}
