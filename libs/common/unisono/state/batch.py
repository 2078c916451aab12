"""What one call wants to write at one site, gathered to be applied at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from unisono.core.commands import Command
from unisono.core.event_kinds import DEVICE_EVENTS, OTHER_EVENT
from unisono.core.site_document import SiteEvent
from unisono.state import keys
from unisono.state.codec import encode
from unisono.state.keys import Key, cloud_key
from unisono.state.store import AddTo, Append, DropFields, Guard, RaiseTo, SetFields, Write

# Stands where a site would for what belongs to none.
NO_SITE = "-"

_FLAGS_CHANGED = "flags_changed"
# What a device can bring about as often as it likes, by what it tells or by calling.
_BY_DEVICES = frozenset(
    (
        *(*DEVICE_EVENTS, OTHER_EVENT),
        *("command_done", "command_failed", "secret_rotated"),
        *("master_restarted", "member_moved", "reissued"),
    )
)


@dataclass(slots=True)
class Batch:
    """Writes and guards of one call, applied together at its end (`DocumentStore.settle`).

    ``part`` is what the word in capitals in the name of a key stands for.
    """

    prefix: str
    site: str = NO_SITE
    writes: list[Write] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)

    def put(self, row: Key, name: str, document: object, part: str = "") -> None:
        """Set one field of ``row``'s key to a document."""
        self.writes.append(SetFields(self.key(row, part), {name: encode(document)}, row.ttl_ms))

    def drop(self, row: Key, names: Sequence[str] | None, part: str = "") -> None:
        """Remove fields of ``row``'s key; None: the whole key."""
        if names is None or names:
            fields = None if names is None else tuple(names)
            self.writes.append(DropFields(self.key(row, part), fields))

    def add(self, row: Key, name: str, by: int = 1, part: str = "") -> None:
        """Add to a whole number."""
        self.writes.append(AddTo(self.key(row, part), name, by, row.ttl_ms))

    def raise_to(self, row: Key, name: str, to: int, part: str = "") -> None:
        """Write a whole number if it is larger than the one that is there."""
        self.writes.append(RaiseTo(self.key(row, part), name, to, row.ttl_ms))

    def append(self, row: Key, at_ms: int, document: object, part: str = "") -> None:
        """Put a document into a log; see `Append` for one that is in it already."""
        if row.ttl_ms is None:
            raise ValueError(f"{row.name} is no log: it has no TTL")
        entry = encode((at_ms, document) if row.timed else document)
        self.writes.append(Append(self.key(row, part), at_ms, entry, row.keep, row.ttl_ms))

    def expect(self, row: Key, name: str, raw: bytes | None, part: str = "") -> None:
        """Apply nothing unless the field holds these bytes (None: is absent)."""
        self.guards.append(Guard(self.key(row, part), name, raw))

    def enqueue(self, commands: Sequence[tuple[str, Command]]) -> None:
        """Put commands into the queues of their devices, each in the place of what waits there.

        The newest command of a device supersedes all before it, and a device that is away for
        long must not gather them.
        """
        for device_id, command in commands:
            self.drop(keys.QUEUE, None, device_id)
            self.put(keys.QUEUE, command.command_id, command, device_id)

    def happened(self, event: SiteEvent) -> None:
        """Log an event, and count it: of all time, and of its day.

        What devices bring about has a log of its own: however much that is, who did what stays.
        """
        by_device = event.kind in _BY_DEVICES and not event.who
        self.add(keys.EVENTS, event.kind)
        self.append(keys.DEVICE_LOG if by_device else keys.EVENT_LOG, event.at_ms, event)
        if event.kind == _FLAGS_CHANGED:
            self.append(keys.FLAG_LOG, event.at_ms, event)
        self.add(keys.DAY, f"event {event.kind}", part=keys.date_of(event.at_ms))

    def extend(self, other: "Batch") -> None:
        """Take over what another batch of the same site holds."""
        if (other.prefix, other.site) != (self.prefix, self.site):
            raise ValueError(f"a batch of site {other.site} does not go with one of {self.site}")
        self.writes += other.writes
        self.guards += other.guards

    def key(self, row: Key, part: str = "") -> str:
        """The full name of a key of this site."""
        return cloud_key(self.prefix, row, self.site, part)
