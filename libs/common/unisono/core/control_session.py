"""Decisions of the control plane on sessions: (document, event, now) -> (document, commands).

One document per site holds the sessions that run there. Each function below returns the next
document and the commands that go with it; the shell makes both durable in one atomic step, or
neither, and asks again when another instance was faster. Sessions that end leave the document.
Who leads, and when that changes, is in `leadership`.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.commands import prepare, stop
from unisono.core.leadership import first_master
from unisono.core.reissue import changed, next_revision, reissued, running, to_members
from unisono.core.session import Member, SessionSpec
from unisono.core.site_document import (
    TRANSITIONS,
    Decision,
    Held,
    KnownDevice,
    NewSession,
    Refused,
    SessionEvent,
    SessionRecord,
    SessionState,
    SiteDocument,
)

# The largest numbers of a device that are outdone when the document knows less. They leave room
# below what the API takes (2**53, 2**31), so that one damaged device cannot use the room up.
MAX_OUTDONE = 2**52
MAX_OUTDONE_TERM = 2**30


def state_at(record: SessionRecord, now_ms: int) -> SessionState:
    """The state at ``now_ms``: starting is computed when read, nobody has to write it."""
    if now_ms < record.spec.start_at_ms:
        return record.state
    return TRANSITIONS.get((record.state, SessionEvent.START_DUE), record.state)


def create(
    site: SiteDocument, request: NewSession, devices: Mapping[str, KnownDevice], *, now_ms: int
) -> Decision:
    """A new session: master elected, the same PREPARE to each member.

    Refused: ``bad_session``, ``unknown_device``, ``device_silent`` (it never called in, or none
    has lately), ``device_busy`` (unless ``replace``, which stops the sessions in the way).
    """
    members = _members(request, devices)
    master = first_master(request, devices, now_ms)
    busy = [r for r in site.sessions if any(r.spec.member(d) for d in request.device_ids)]
    if busy and not request.replace:
        taken = next(d for d in request.device_ids if busy[0].spec.member(d))
        raise Refused(
            "device_busy",
            f"{taken} plays in session {busy[0].spec.session_id}: "
            'stop that session first, or send "replace": true',
        )
    for record in busy:
        site = replace(site, sessions=tuple(r for r in site.sessions if r is not record))
    revision = next_revision(site, now_ms)
    spec = SessionSpec(
        session_id=request.session_id,
        term=1,
        master_device_id=master.device_id,
        members=members,
        playlist=request.playlist,
        start_at_ms=now_ms + request.start_delay_ms,
        secret_hex=request.secret_hex,
        flags=request.flags,
    )
    record = SessionRecord(
        spec=spec,
        state=SessionState.PREPARING,
        revision=revision,
        created_ms=now_ms,
        lease_ms=request.lease_ms,
        lease_from_ms=now_ms,
        master_boot_id=master.boot_id,
        term_reason="created",
        pinned=request.pinned,
    )
    left_out = tuple(
        (member.device_id, stop(old.spec.session_id, old.spec.term, revision, now_ms))
        for old in busy
        for member in old.spec.members
        if member.device_id not in request.device_ids
    )
    reason = f"replaced by {request.session_id}"
    return Decision(
        site=SiteDocument(revision, (*site.sessions, record)),
        commands=to_members(record, now_ms) + left_out,
        ended=tuple(_ended(old, reason, now_ms) for old in busy),
        events=("session_created", *("session_replaced" for _ in busy)),
    )


def stop_session(site: SiteDocument, session_id: str, *, now_ms: int) -> Decision:
    """End a session: STOP to each member. Refused: ``unknown_session``."""
    record = running(site, session_id)
    revision = next_revision(site, now_ms)
    command = stop(session_id, record.spec.term, revision, now_ms)
    return Decision(
        site=SiteDocument(revision, tuple(r for r in site.sessions if r is not record)),
        commands=tuple((member.device_id, command) for member in record.spec.members),
        ended=(_ended(record, "stopped by an operator", now_ms),),
        events=("session_stopped",),
    )


def move_member(site: SiteDocument, place: Member, *, now_ms: int) -> Decision:
    """A member's LAN address or port is another now: the same term, told to all members."""
    record = site.session_of(place.device_id)
    if record is None or place in record.spec.members:
        return Decision(site)
    members = tuple(place if m.device_id == place.device_id else m for m in record.spec.members)
    return reissued(
        site, record, replace(record.spec, members=members), "member_moved", now_ms=now_ms
    )


def reconcile(site: SiteDocument, device_id: str, held: Held, *, now_ms: int) -> Decision:
    """What a device must be told that holds ``held``: nothing, if that is right.

    A device that lost its state, was away for long, or leads in an old term gets the session
    as it is now; one that plays what has ended gets a STOP.
    """
    record = site.session_of(device_id)
    credible = _is_credible(held)
    if record is None:
        if not held.session_id:
            return Decision(site)
        if credible and held.revision >= site.revision:
            # The document knows less than the device: it was lost. A new revision outdoes both.
            site = replace(site, revision=next_revision(site, now_ms, held.revision))
        command = stop(held.session_id, held.term, site.revision, now_ms)
        return Decision(site, ((device_id, command),))
    asked = Held(record.spec.session_id, record.spec.term, record.revision)
    if held == asked:
        return Decision(site)
    if credible and held.revision >= record.revision:
        # Again a document that was lost or is an old copy: the newest term must win.
        spec = record.spec
        if held.session_id == spec.session_id and held.term > spec.term:
            spec = replace(spec, term=held.term + 1)
            renewed = replace(record, term_reason=f"{device_id} held a newer term")
            site, record = changed(site, record, renewed), renewed
        return reissued(site, record, spec, "reissued", now_ms=now_ms, outdone=held.revision)
    return Decision(site, ((device_id, prepare(record.spec, record.revision, now_ms)),))


def _is_credible(held: Held) -> bool:
    """Whether a cloud can have given that out; a claim beyond must not drive the site's numbers."""
    return held.revision <= MAX_OUTDONE and held.term <= MAX_OUTDONE_TERM


def _members(request: NewSession, devices: Mapping[str, KnownDevice]) -> tuple[Member, ...]:
    """The members' places, in the order of their ids; refuses what cannot be a session."""
    ids = request.device_ids
    if not ids:
        raise Refused("bad_session", "a session needs at least one device")
    if len(set(ids)) != len(ids):
        raise Refused("bad_session", "a device is named twice")
    if not request.playlist.items:
        raise Refused("bad_session", "the playlist is empty")
    if any(item.duration_ns <= 0 for item in request.playlist.items):
        raise Refused("bad_session", "every film of the playlist needs a duration above 0")
    if request.start_delay_ms < 0:
        raise Refused("bad_session", "the start delay is below 0")
    if request.pinned and request.pinned not in ids:
        raise Refused("not_a_member", f"the master {request.pinned} is not among the devices")
    places: list[Member] = []
    for device_id in sorted(ids):
        device = devices.get(device_id)
        if device is None:
            raise Refused("unknown_device", f"{device_id} is not enrolled at this site")
        if device.place is None:
            raise Refused(
                "device_silent", f"{device_id} has never called in: start its cloud-bridge first"
            )
        places.append(device.place)
    return tuple(places)


def _ended(record: SessionRecord, reason: str, now_ms: int) -> SessionRecord:
    state = TRANSITIONS[state_at(record, now_ms), SessionEvent.STOP]
    # Nobody needs its secret any more, and the record is kept for long.
    spec = replace(record.spec, secret_hex="")
    return replace(record, spec=spec, state=state, ended_ms=now_ms, end_reason=reason)
