"""What becomes of a site when a device is no longer trusted: it leaves, and so do its secrets."""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.flagset import without_device
from unisono.core.presence import without_member
from unisono.core.reissue import changed, joined, next_revision, reissued
from unisono.core.session_state import SessionEvent, after
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)
from unisono.core.succession import next_master, successors


def remove_device(
    site: SiteDocument,
    device_id: str,
    devices: Mapping[str, KnownDevice],
    *,
    secret_hex: str,
    who: str = "",
    now_ms: int,
) -> Decision:
    """Revoke a device: it leaves its session, which goes on in a new term with a new secret.

    If it led, the next in line leads; if nobody else is alive, the first by id, so that there is
    a master when it comes back. A session of that device alone ends. Its flags are forgotten.

    The document always changes, by a new revision: who has read it with that device enrolled, to
    start a session with it, must not be able to write that down.
    """
    record = site.session_of(device_id)
    revoked = SiteEvent("device_revoked", now_ms, device_id=device_id, who=who)
    refused_ms = {name: ms for name, ms in site.refused_ms.items() if name != device_id}
    flags = without_device(site.flags, device_id)
    site = replace(site, flags=flags, refused_ms=refused_ms)
    if record is None:
        raised = replace(site, revision=next_revision(site, now_ms))
        return Decision(raised, events=(revoked,))
    spec = record.spec
    revoked = replace(revoked, session_id=spec.session_id, term=spec.term)
    decision = Decision(site, events=(revoked,))
    if len(spec.members) == 1:
        return joined(decision, _ended_alone(site, record, device_id, who, now_ms))
    known = {name: device for name, device in devices.items() if name != device_id}
    pinned = "" if record.pinned == device_id else record.pinned
    left = without_member(record, device_id)
    left = replace(left, pinned=pinned, term_reason=f"{device_id} was revoked")
    members = tuple(m for m in spec.members if m.device_id != device_id)
    master = spec.master_device_id
    if master == device_id:
        successor = next_master(left, known, now_ms)
        master = members[0].device_id if successor is None else successor.device_id
        boot_id = known[master].boot_id if master in known else ""
        left = replace(left, lease_from_ms=now_ms, master_boot_id=boot_id)
    fresh = replace(
        spec, term=spec.term + 1, master_device_id=master, members=members, secret_hex=secret_hex
    )
    fresh = replace(fresh, successors=successors(replace(left, spec=fresh), known, now_ms))
    told = reissued(
        changed(site, record, left),
        left,
        fresh,
        "member_removed",
        now_ms=now_ms,
        device_id=device_id,
        who=who,
        detail=left.term_reason,
    )
    return joined(decision, told)


def _ended_alone(
    site: SiteDocument, record: SessionRecord, device_id: str, who: str, now_ms: int
) -> Decision:
    """The session of a revoked device alone: there is nobody left to be told to stop."""
    reason = f"its last device {device_id} was revoked"
    state = after(after(record.state, SessionEvent.STOP), SessionEvent.ALL_STOPPED)
    ended = replace(
        record,
        spec=replace(record.spec, secret_hex=""),
        state=state,
        stopping_ms=now_ms,
        ended_ms=now_ms,
        end_reason=reason,
    )
    spec = record.spec
    event = SiteEvent("session_ended", now_ms, spec.session_id, spec.term, who=who, detail=reason)
    site = replace(changed(site, record, None), revision=next_revision(site, now_ms))
    return Decision(site, ended=(ended,), events=(event,))
