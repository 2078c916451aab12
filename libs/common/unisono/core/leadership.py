"""Who leads a session, and when the lead moves: each move is a new term, told to all members.

Leases are judged whenever any device calls, so no clock of the cloud has to tick.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.cadence import MAX_RETURN_S
from unisono.core.election import Candidate, elect, is_alive, own_lease_ms
from unisono.core.reissue import changed, joined, reissued, running
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    NewSession,
    Refused,
    SessionRecord,
    SiteDocument,
)

_MAX_RETURN_MS = round(MAX_RETURN_S * 1000)


def first_master(
    request: NewSession, devices: Mapping[str, KnownDevice], now_ms: int
) -> KnownDevice:
    """Who leads a new session. Refused: ``device_silent``."""
    names = [request.pinned] if request.pinned else request.device_ids
    candidates = [_candidate(devices[name]) for name in names]
    master = elect(candidates, pinned=request.pinned, now_ms=now_ms, lease_ms=request.lease_ms)
    if master is None:
        who = request.pinned or "none of the devices"
        has = "has not" if request.pinned else "has"
        raise Refused("device_silent", f"{who} {has} called in lately: start its cloud-bridge")
    return devices[master]


def change_master(
    site: SiteDocument,
    session_id: str,
    devices: Mapping[str, KnownDevice],
    *,
    device_id: str = "",
    now_ms: int,
) -> Decision:
    """An operator moves the lead: to ``device_id`` (pinned from then on), or to the next in line.

    Nothing changes when that device leads already. Refused: ``unknown_session``,
    ``not_a_member``, ``device_silent``.
    """
    record = running(site, session_id)
    spec = record.spec
    reason = "changed by an operator"
    if not device_id:
        successor = _successor(record, devices, now_ms)
        if successor is None:
            raise Refused("device_silent", "no other device of the session has called in lately")
        led = replace(record, pinned="", term_reason=reason)
        return _new_term(site, record, led, successor, "master_changed", now_ms=now_ms)
    if spec.member(device_id) is None:
        raise Refused("not_a_member", f"{device_id} is no member of session {session_id}")
    chosen = devices.get(device_id)
    if chosen is None or not _is_heard(record, chosen, now_ms):
        raise Refused("device_silent", f"{device_id} has not called in lately: it cannot lead")
    if device_id == spec.master_device_id:
        return Decision(site)
    led = replace(record, pinned=device_id, term_reason=reason)
    return _new_term(site, record, led, chosen, "master_changed", now_ms=now_ms)


def renew_leases(
    site: SiteDocument,
    devices: Mapping[str, KnownDevice],
    caller: KnownDevice,
    *,
    now_ms: int,
) -> Decision:
    """Move the lead of every session whose master is silent beyond its lease.

    ``devices`` is what was known before this call, ``caller`` is who calls and what it says now.
    The lead stays while a follower hears the master on the LAN: then only the master's way to
    the cloud is broken. It stays when nobody else is alive: a master that may be back is better
    than none. And when nobody of the session was heard of before this call, the cloud itself was
    away: everybody gets the time to come back, whoever comes first.
    """
    decision = Decision(site)
    present = {**devices, caller.device_id: caller}
    for record in site.sessions:
        if _is_led(record, present, now_ms):
            continue
        if _was_silent(record, devices, now_ms) and record.spec.member(caller.device_id):
            waited = replace(record, lease_from_ms=_lease_from_ms(record, devices, now_ms))
            decision = replace(decision, site=changed(decision.site, record, waited))
            continue
        successor = _successor(record, present, now_ms)
        if successor is not None:
            led = replace(record, term_reason=f"{record.spec.master_device_id} was silent")
            moved = _new_term(decision.site, record, led, successor, "failover", now_ms=now_ms)
            decision = joined(decision, moved)
    return decision


def note_boot(site: SiteDocument, device_id: str, boot_id: str, *, now_ms: int) -> Decision:
    """A new term, same master, when the master was booted anew: its clock began again.

    In the old term its followers would refuse its beacons as late ones.
    """
    record = site.session_of(device_id)
    if record is None or record.spec.master_device_id != device_id or not boot_id:
        return Decision(site)
    if boot_id == record.master_boot_id:
        return Decision(site)
    noted = replace(record, master_boot_id=boot_id)
    if not record.master_boot_id:
        return Decision(changed(site, record, noted))
    noted = replace(noted, term_reason=f"{device_id} was restarted")
    spec = replace(record.spec, term=record.spec.term + 1)
    return reissued(changed(site, record, noted), noted, spec, "master_restarted", now_ms=now_ms)


def _is_led(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> bool:
    """Whether the master holds its lease, or is heard on the LAN."""
    spec = record.spec
    master = devices.get(spec.master_device_id)
    seen_ms = 0 if master is None or master.seen_ms is None else master.seen_ms
    heard_ms = max(seen_ms, record.lease_from_ms)
    if is_alive(heard_ms, now_ms=now_ms, lease_ms=_master_lease_ms(record, devices)):
        return True
    for member in spec.members:
        device = devices.get(member.device_id)
        if device is None or member.device_id == spec.master_device_id:
            continue
        said_lately = is_alive(device.said_ms, now_ms=now_ms, lease_ms=record.lease_ms)
        if said_lately and device.in_lan == (spec.session_id, spec.term):
            return True
    return False


def _was_silent(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> bool:
    """Whether no member at all was heard of within its lease."""
    members = (devices.get(member.device_id) for member in record.spec.members)
    return not any(device and _is_heard(record, device, now_ms) for device in members)


def _lease_from_ms(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> int:
    """From when the master's lease counts after a silence that ends now.

    It ends when all have had the time to come back: a lease, or longer if they were away for
    long, since who finds the cloud away asks less and less often.
    """
    members = (devices.get(member.device_id) for member in record.spec.members)
    seen_ms = max((d.seen_ms for d in members if d and d.seen_ms is not None), default=0)
    silence_ms = now_ms - max(seen_ms, record.lease_from_ms)
    lease_ms = _master_lease_ms(record, devices)
    return now_ms + max(min(silence_ms, _MAX_RETURN_MS) - lease_ms, 0)


def _master_lease_ms(record: SessionRecord, devices: Mapping[str, KnownDevice]) -> int:
    master = devices.get(record.spec.master_device_id)
    return own_lease_ms(master.interval_ms if master else 0, record.lease_ms)


def _is_heard(record: SessionRecord, device: KnownDevice, now_ms: int) -> bool:
    lease_ms = own_lease_ms(device.interval_ms, record.lease_ms)
    return is_alive(device.seen_ms, now_ms=now_ms, lease_ms=lease_ms)


def _successor(
    record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int
) -> KnownDevice | None:
    names = {member.device_id for member in record.spec.members} - {record.spec.master_device_id}
    candidates = [_candidate(devices[name]) for name in names if name in devices]
    found = elect(candidates, pinned=record.pinned, now_ms=now_ms, lease_ms=record.lease_ms)
    return None if found is None else devices[found]


def _candidate(device: KnownDevice) -> Candidate:
    return Candidate(device.device_id, device.seen_ms, device.interval_ms)


def _new_term(
    site: SiteDocument,
    record: SessionRecord,
    led: SessionRecord,
    master: KnownDevice,
    event: str,
    *,
    now_ms: int,
) -> Decision:
    """The session led by ``master`` from now on; ``led`` is the record with what else changes."""
    spec = replace(record.spec, term=record.spec.term + 1, master_device_id=master.device_id)
    led = replace(led, lease_from_ms=now_ms, master_boot_id=master.boot_id)
    return reissued(changed(site, record, led), led, spec, event, now_ms=now_ms)
