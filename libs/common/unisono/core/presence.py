"""What members show of themselves: the boot that they run in, their place on the LAN.

One restart or move is told to all at once. A device that changes often is followed less and less
often, as the lead is (`leases`). One that shows again, within ten minutes, what it showed before
something else is likely two machines with one identity, and that is said.
"""

from dataclasses import replace

from unisono.core.leases import MEMORY_MS, forgiven, wait_until_ms
from unisono.core.reissue import changed, joined, reissued
from unisono.core.session import Member
from unisono.core.site_document import (
    Change,
    Decision,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)


def note_boot(site: SiteDocument, device_id: str, boot_id: str, *, now_ms: int) -> Decision:
    """A new term, same master, when the master was booted anew: its clock began again.

    In the old term its followers would refuse its beacons as late ones. A boot that is not
    followed yet, since it changes too often, is judged again at the next call.
    """
    record = site.session_of(device_id)
    if record is None or record.spec.master_device_id != device_id or not boot_id:
        return Decision(site)
    if boot_id == record.master_boot_id:
        return Decision(site)
    if not record.master_boot_id:
        return Decision(changed(site, record, replace(record, master_boot_id=boot_id)))
    change = Change(device_id, "boot", record.master_boot_id)
    made, follows = _shown(site, record, change, boot_id, now_ms)
    record = made.site.session_of(device_id)
    if not follows or record is None:
        return made
    reason = f"{device_id} was restarted"
    noted = replace(record, master_boot_id=boot_id, term_reason=reason)
    told = reissued(
        changed(made.site, record, noted),
        noted,
        replace(noted.spec, term=noted.spec.term + 1),
        "master_restarted",
        now_ms=now_ms,
        device_id=device_id,
        detail=reason,
    )
    return joined(made, told)


def move_member(site: SiteDocument, place: Member, *, now_ms: int) -> Decision:
    """A member's LAN address or port is another now: the same term, told to all members.

    At a place that is new everybody may be heard: who was voted out before may lead again.
    """
    record = site.session_of(place.device_id)
    before = None if record is None else record.spec.member(place.device_id)
    if record is None or before is None or before == place:
        return Decision(site)
    change, shown = Change(place.device_id, "place", _named(before)), _named(place)
    made, follows = _shown(site, record, change, shown, now_ms)
    record = made.site.session_of(place.device_id)
    if not follows or record is None:
        return made
    noted = record if _came_back(record, place.device_id, "place", shown) else forgiven(record)
    members = tuple(place if m.device_id == place.device_id else m for m in record.spec.members)
    told = reissued(
        changed(made.site, record, noted),
        noted,
        replace(noted.spec, members=members),
        "member_moved",
        now_ms=now_ms,
        device_id=place.device_id,
        detail=f"now at {place.address}",
    )
    return joined(made, told)


def without_member(record: SessionRecord, device_id: str) -> SessionRecord:
    """The record without what it remembers of a device that leaves the session."""
    return replace(
        record,
        changes=tuple(c for c in record.changes if c.device_id != device_id),
        shared_ms={n: ms for n, ms in record.shared_ms.items() if n != device_id},
        voted_out_ms={n: ms for n, ms in record.voted_out_ms.items() if n != device_id},
    )


def _shown(
    site: SiteDocument,
    record: SessionRecord,
    change: Change,
    shown: str,
    now_ms: int,
) -> tuple[Decision, bool]:
    """What is remembered of a change and said of it, and whether it is followed now.

    ``identity_shared`` is said once, and again only after ten minutes without another sign.
    """
    lately = tuple(c for c in record.changes if now_ms - c.at_ms < MEMORY_MS)
    shared_ms = {n: ms for n, ms in record.shared_ms.items() if now_ms - ms < MEMORY_MS}
    record_then = replace(record, changes=lately, shared_ms=shared_ms)
    device_id, what = change.device_id, change.what
    is_sign = _came_back(record_then, device_id, what, shown)
    is_new_sign = is_sign and device_id not in shared_ms
    own_ms = tuple(c.at_ms for c in lately if (c.device_id, c.what) == (device_id, what))
    follows = now_ms >= wait_until_ms(own_ms, now_ms)
    if not follows and not is_new_sign:
        return Decision(site), False
    if is_sign:
        record_then = replace(record_then, shared_ms={**shared_ms, device_id: now_ms})
    if follows:
        noted = replace(change, at_ms=now_ms)
        record_then = replace(record_then, changes=(*lately, noted))
    events: tuple[SiteEvent, ...] = ()
    if is_new_sign:
        spec = record.spec
        detail = f"its {what} changes back and forth: two machines call themselves {device_id}"
        kind = "identity_shared"
        event = SiteEvent(kind, now_ms, spec.session_id, spec.term, device_id, detail=detail)
        events = (event,)
    return Decision(changed(site, record, record_then), events=events), follows


def _came_back(record: SessionRecord, device_id: str, what: str, shown: str) -> bool:
    """Whether the device has shown that already, before something else."""
    return Change(device_id, what, shown) in (replace(c, at_ms=0) for c in record.changes)


def _named(place: Member) -> str:
    return f"{place.address}:{place.beacon_port}:{place.probe_port}"
