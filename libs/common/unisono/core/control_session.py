"""Decisions of the control plane on sessions: (document, event, now) -> (document, commands).

One document per site holds the sessions that run there. Each function below returns the next
document and the commands that go with it; the shell makes both durable in one atomic step, or
neither, and asks again when another instance was faster. Sessions that end leave the document.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.commands import Command, prepare, stop
from unisono.core.election import Candidate, elect, is_alive
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
    master = _first_master(request, devices, now_ms)
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
    revision = _next_revision(site, now_ms)
    spec = SessionSpec(
        session_id=request.session_id,
        term=1,
        master_device_id=master,
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
        elected_ms=now_ms,
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
        commands=_to_members(record, now_ms) + left_out,
        ended=tuple(_ended(old, reason, now_ms) for old in busy),
        events=("session_created", *("session_replaced" for _ in busy)),
    )


def stop_session(site: SiteDocument, session_id: str, *, now_ms: int) -> Decision:
    """End a session: STOP to each member. Refused: ``unknown_session``."""
    record = _running(site, session_id)
    revision = _next_revision(site, now_ms)
    command = stop(session_id, record.spec.term, revision, now_ms)
    return Decision(
        site=SiteDocument(revision, tuple(r for r in site.sessions if r is not record)),
        commands=tuple((member.device_id, command) for member in record.spec.members),
        ended=(_ended(record, "stopped by an operator", now_ms),),
        events=("session_stopped",),
    )


def change_master(
    site: SiteDocument,
    session_id: str,
    seen_ms: Mapping[str, int],
    *,
    device_id: str = "",
    now_ms: int,
) -> Decision:
    """An operator moves the lead: to ``device_id`` (pinned from then on), or to the next in line.

    Nothing changes when that device leads already. Refused: ``unknown_session``,
    ``not_a_member``, ``device_silent``.
    """
    record = _running(site, session_id)
    spec = record.spec
    if not device_id:
        successor = _successor(record, seen_ms, now_ms)
        if successor is None:
            raise Refused("device_silent", "no other device of the session has called in lately")
        return _move_lead(site, record, successor, "master_changed", pinned="", now_ms=now_ms)
    if spec.member(device_id) is None:
        raise Refused("not_a_member", f"{device_id} is no member of session {session_id}")
    if not is_alive(seen_ms.get(device_id), now_ms=now_ms, lease_ms=record.lease_ms):
        raise Refused("device_silent", f"{device_id} has not called in lately: it cannot lead")
    if device_id == spec.master_device_id:
        return Decision(site)
    return _move_lead(site, record, device_id, "master_changed", pinned=device_id, now_ms=now_ms)


def renew_leases(site: SiteDocument, seen_ms: Mapping[str, int], *, now_ms: int) -> Decision:
    """Move the lead of every session whose master is silent beyond its lease.

    It is asked whenever any device calls, so no clock of the cloud has to tick. When nobody
    else is alive, nothing changes: a master that may be back is better than none.
    """
    decision = Decision(site)
    for record in site.sessions:
        master = record.spec.master_device_id
        heard_ms = max(seen_ms.get(master, 0), record.elected_ms)
        if is_alive(heard_ms, now_ms=now_ms, lease_ms=record.lease_ms):
            continue
        successor = _successor(record, seen_ms, now_ms)
        if successor is not None:
            moved = _move_lead(
                decision.site, record, successor, "failover", pinned=record.pinned, now_ms=now_ms
            )
            decision = joined(decision, moved)
    return decision


def move_member(site: SiteDocument, place: Member, *, now_ms: int) -> Decision:
    """A member's LAN address or port is another now: the same term, told to all members."""
    record = site.session_of(place.device_id)
    if record is None or place in record.spec.members:
        return Decision(site)
    members = tuple(place if m.device_id == place.device_id else m for m in record.spec.members)
    return _reissued(site, record, replace(record.spec, members=members), now_ms, "member_moved")


def reconcile(site: SiteDocument, device_id: str, held: Held, *, now_ms: int) -> Decision:
    """What a device must be told that holds ``held``: nothing, if that is right.

    A device that lost its state, was away for long, or leads in an old term gets the session
    as it is now; one that plays what has ended gets a STOP.
    """
    record = site.session_of(device_id)
    if record is None:
        if not held.session_id:
            return Decision(site)
        if held.revision >= site.revision:
            # The document knows less than the device: it was lost. A new revision outdoes both.
            site = replace(site, revision=_next_revision(site, now_ms))
        command = stop(held.session_id, held.term, site.revision, now_ms)
        return Decision(site, ((device_id, command),))
    asked = Held(record.spec.session_id, record.spec.term, record.revision)
    if held == asked:
        return Decision(site)
    if held.revision >= record.revision:
        # Again a document that was lost or is an old copy: the newest term must win.
        term = record.spec.term
        if held.session_id == record.spec.session_id and held.term > term:
            term = held.term + 1
        return _reissued(site, record, replace(record.spec, term=term), now_ms, "reissued")
    return Decision(site, ((device_id, prepare(record.spec, record.revision, now_ms)),))


def joined(first: Decision, then: Decision) -> Decision:
    """Two decisions as one: ``then`` was made of the document that ``first`` led to."""
    return Decision(
        then.site,
        first.commands + then.commands,
        first.ended + then.ended,
        first.events + then.events,
    )


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


def _first_master(request: NewSession, devices: Mapping[str, KnownDevice], now_ms: int) -> str:
    candidates = [Candidate(d, devices[d].seen_ms) for d in request.device_ids]
    if request.pinned:
        candidates = [c for c in candidates if c.device_id == request.pinned]
    master = elect(candidates, pinned=request.pinned, now_ms=now_ms, lease_ms=request.lease_ms)
    if master is None:
        who = request.pinned or "none of the devices"
        has = "has not" if request.pinned else "has"
        raise Refused("device_silent", f"{who} {has} called in lately: start its cloud-bridge")
    return master


def _successor(record: SessionRecord, seen_ms: Mapping[str, int], now_ms: int) -> str | None:
    others = [
        Candidate(member.device_id, seen_ms.get(member.device_id))
        for member in record.spec.members
        if member.device_id != record.spec.master_device_id
    ]
    return elect(others, pinned=record.pinned, now_ms=now_ms, lease_ms=record.lease_ms)


def _move_lead(
    site: SiteDocument,
    record: SessionRecord,
    master: str,
    event: str,
    *,
    pinned: str,
    now_ms: int,
) -> Decision:
    spec = replace(record.spec, term=record.spec.term + 1, master_device_id=master)
    led = replace(record, elected_ms=now_ms, pinned=pinned)
    site = replace(site, sessions=tuple(led if r is record else r for r in site.sessions))
    return _reissued(site, led, spec, now_ms, event)


def _reissued(
    site: SiteDocument, record: SessionRecord, spec: SessionSpec, now_ms: int, event: str
) -> Decision:
    """The session with a new spec and revision, and its PREPARE to every member."""
    revision = _next_revision(site, now_ms)
    renewed = replace(record, spec=spec, revision=revision)
    sessions = tuple(renewed if r is record else r for r in site.sessions)
    return Decision(SiteDocument(revision, sessions), _to_members(renewed, now_ms), events=(event,))


def _to_members(record: SessionRecord, now_ms: int) -> tuple[tuple[str, Command], ...]:
    command = prepare(record.spec, record.revision, now_ms)
    return tuple((member.device_id, command) for member in record.spec.members)


def _ended(record: SessionRecord, reason: str, now_ms: int) -> SessionRecord:
    state = TRANSITIONS[state_at(record, now_ms), SessionEvent.STOP]
    return replace(record, state=state, ended_ms=now_ms, end_reason=reason)


def _running(site: SiteDocument, session_id: str) -> SessionRecord:
    record = site.session(session_id)
    if record is None:
        raise Refused("unknown_session", f"no session {session_id} runs at this site")
    return record


def _next_revision(site: SiteDocument, now_ms: int) -> int:
    """Larger than all before; even after a loss of all data larger than what devices hold."""
    return max(site.revision + 1, now_ms)
