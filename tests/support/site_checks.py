"""What must hold of a site as it is stored, whatever calls it has seen, in whatever order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unisono.core.commands import Command
from unisono.core.session_state import SessionState
from unisono.core.site_document import SiteDocument
from unisono.state import keys
from unisono.state.codec import decode, decode_all
from unisono.state.keys import PREFIX, Key, cloud_key
from unisono.state.records import TelemetryItem
from unisono.state.store import Entries, Fields, Hash, Store

# Rows that have a field for each device: nothing of a device that was revoked may be there.
BY_DEVICE = (keys.DEVICES, keys.REPORTS, keys.STATUSES, keys.SEEN, keys.ACKS, keys.DELIVERED)


@dataclass
class Stored:
    """One site's keys."""

    leads: Hash
    rows: Mapping[str, Hash]
    queues: Mapping[str, Mapping[str, Command]]

    @classmethod
    async def read(cls, store: Store, site: str, names: Iterable[str]) -> "Stored":
        """As it is now; the queues of the devices in ``names``."""
        asked = list(names)

        def of(row: Key, part: str = "") -> Fields:
            return Fields(cloud_key(PREFIX, row, site, part))

        reads = [of(keys.LEADS), *map(of, BY_DEVICE), *(of(keys.QUEUE, name) for name in asked)]
        leads, *found = await store.read(reads)
        rows, queues = found[: len(BY_DEVICE)], found[len(BY_DEVICE) :]
        return cls(
            leads,
            {row.name: held for row, held in zip(BY_DEVICE, rows, strict=True)},
            {n: decode_all(Command, q, "queue") for n, q in zip(asked, queues, strict=True)},
        )

    def kept_of(self, name: str) -> list[str]:
        """What is kept of a device."""
        kept = [row for row, held in self.rows.items() if name in held]
        return kept + [keys.QUEUE.name] * bool(self.queues.get(name))


async def telemetry_of(store: Store, site: str, name: str) -> list[TelemetryItem]:
    """All that is kept of a device's telemetry, in no order."""
    key = cloud_key(PREFIX, keys.TELEMETRY_LOG, site, name)
    (entries,) = await store.entries([Entries(key, 0, 2**52, keys.TELEMETRY_LOG.keep)])
    items = (decode(TelemetryItem, entry, "telemetry") for _, entry in entries)
    return [item for item in items if item is not None]


@dataclass
class Past:
    """What was seen of a site before: none of it may fall, or be said otherwise."""

    masters: dict[tuple[str, int], str]
    revision: int = 0
    flags_version: int = 0
    terms: dict[str, int] = field(default_factory=dict)

    def check(self, site: SiteDocument) -> None:
        """One master in each term, nothing falls, no device in two sessions."""
        assert site.revision >= self.revision
        assert site.flags.version >= self.flags_version
        self.revision, self.flags_version = site.revision, site.flags.version
        held: set[str] = set()
        for record in site.sessions:
            spec = record.spec
            term = (spec.session_id, spec.term)
            assert self.masters.setdefault(term, spec.master_device_id) == spec.master_device_id
            assert spec.term >= self.terms.get(spec.session_id, 0)
            self.terms[spec.session_id] = spec.term
            assert spec.member(spec.master_device_id) is not None
            if record.state is not SessionState.STOPPING:
                members = {member.device_id for member in spec.members}
                assert not members & held, "a device in two sessions"
                held |= members


def members_of(site: SiteDocument) -> set[str]:
    """Who shall play, or has flags of its own."""
    running = (r for r in site.sessions if r.state is not SessionState.STOPPING)
    playing = {member.device_id for record in running for member in record.spec.members}
    return playing | set(site.flags.devices)


def unfit(site: SiteDocument, on: set[str]) -> str:
    """Which session neither plays nor is over, now that ``on`` have called for long ("": none)."""
    for record in site.sessions:
        members = {member.device_id for member in record.spec.members}
        name = record.spec.session_id
        if not members & on:
            continue  # nobody is there whose call could be the occasion
        if record.state is not SessionState.PLAYING:
            return f"{name} is still {record.state.value}"
        if record.spec.master_device_id not in on:
            return f"{name} is led by {record.spec.master_device_id}, which is off"
    return ""
