"""What one call reads of the control plane's state, as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from unisono.core.commands import Command
from unisono.core.session_state import Progress
from unisono.core.site_document import SiteDocument
from unisono.state.codec import decode, decode_all, number
from unisono.state.records import (
    Ack,
    Delivered,
    DeviceRecord,
    HeartbeatReport,
    RuntimeReport,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A document and the very bytes it was read from (None, None: there is none).

    A guard compares bytes, and to encode an old document again would give others.
    """

    value: T | None = None
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """What every device of the site last said of itself, and when it was last heard of."""

    reports: Mapping[str, HeartbeatReport]
    statuses: Mapping[str, RuntimeReport]
    seen_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What one device call needs; it costs the same however many devices the site has.

    ``progress`` and ``leads`` (see `keys.LEADS`) are by session id, and ``strays`` are the fields
    of `keys.PROGRESS` that nobody needs any more. ``calls`` counts the device's calls in the
    present window of its rate limit. ``others`` is None where nobody has to look after the
    sessions now.
    """

    record: Kept[DeviceRecord]
    queue: tuple[Command, ...]
    version: int
    site: SiteDocument
    progress: Mapping[str, Progress]
    strays: tuple[str, ...]
    leads: Mapping[str, int]
    report: HeartbeatReport | None
    seen_ms: int | None
    status: RuntimeReport | None
    delivered: Kept[Delivered]
    ack: Kept[Ack]
    calls: int
    others: Others | None


@dataclass(frozen=True, slots=True)
class SiteOutline:
    """A site without what its devices said of themselves; ``progress`` is by session."""

    exists: bool
    version: int
    site: SiteDocument
    progress: Mapping[str, Progress]
    strays: tuple[str, ...]
    devices: Mapping[str, DeviceRecord]
    seen_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SiteView(SiteOutline):
    """A whole site; but for the counters everything is by device id (``progress``: by session)."""

    reports: Mapping[str, HeartbeatReport]
    statuses: Mapping[str, RuntimeReport]
    acks: Mapping[str, Ack]
    requests: Mapping[str, int]
    cpu_us: Mapping[str, int]
    events: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SiteCounters:
    """What is counted at a site, and its sessions; ``device_ids`` are those enrolled."""

    site: SiteDocument
    progress: Mapping[str, Progress]
    device_ids: frozenset[str]
    seen_ms: Mapping[str, int]
    requests: Mapping[str, int]
    cpu_us: Mapping[str, int]
    events: Mapping[str, int]


def kept(kind: type[T], body: bytes | None, where: str) -> Kept[T]:
    """The document in ``body`` with its bytes; the value is None when it cannot be read."""
    return Kept(decode(kind, body, where), body)


def others_of(
    seen: Mapping[str, bytes], reports: Mapping[str, bytes], statuses: Mapping[str, bytes]
) -> Others:
    """What the hashes `keys.SEEN`, `keys.REPORTS` and `keys.STATUSES` hold."""
    return Others(
        reports=decode_all(HeartbeatReport, reports, "reports"),
        statuses=decode_all(RuntimeReport, statuses, "statuses"),
        seen_ms=numbers(seen, "seen"),
    )


def document_of(fields: Mapping[str, bytes]) -> tuple[int, SiteDocument]:
    """The version and the document in the hash `keys.SITE`; 0 and an empty one if it is absent."""
    version = number(fields.get("v"), "site version")
    return version, decode(SiteDocument, fields.get("d"), "site") or SiteDocument()


def progress_of(
    site: SiteDocument, fields: Mapping[str, bytes]
) -> tuple[dict[str, Progress], tuple[str, ...]]:
    """The progress of each session of ``site``, and the fields that belong to none any more."""
    left = dict(fields)

    def count(name: str) -> int:
        return number(left.pop(name, None), "progress")

    found = {}
    for record in site.sessions:
        done, failed, ever_done = progress_names(record.spec.session_id, record.revision)
        found[record.spec.session_id] = Progress(count(done), count(failed), count(ever_done))
    return found, tuple(left)


def progress_names(session_id: str, revision: int) -> tuple[str, str, str]:
    """The fields of `keys.PROGRESS`: done and failed at that revision, ever done."""
    return f"{session_id} {revision} done", f"{session_id} {revision} failed", f"{session_id} done"


def numbers(fields: Mapping[str, bytes], where: str) -> dict[str, int]:
    """Every field of a hash of whole numbers."""
    return {name: number(body, where) for name, body in fields.items()}
