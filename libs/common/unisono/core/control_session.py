"""Decisions of the control plane on sessions: (document, event, now) -> (document, commands).

One document per site holds the sessions that run there. Each function below returns the next
document and the commands that go with it; the shell makes both durable in one atomic step, or
neither, and asks again when another instance was faster. Sessions that ended leave the document.
Who leads, and when that changes, is in `leadership`; who is revoked, in `removal`; the states of
a session are in `session_state`.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.commands import Command, prepare_notice, stop
from unisono.core.leadership import first_master, successors
from unisono.core.reissue import (
    changed,
    joined,
    next_revision,
    reissued,
    running_all,
    state_of,
    to_members,
)
from unisono.core.removal import remove_device
from unisono.core.session import Member, SessionSpec
from unisono.core.session_request import members_of
from unisono.core.session_state import (
    FAIL_AFTER_MS,
    Progress,
    SessionEvent,
    SessionState,
    after,
)
from unisono.core.site_document import (
    Decision,
    Held,
    KnownDevice,
    NewSession,
    Refused,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)

__all__ = [
    "create",
    "move_member",
    "reconcile",
    "remove_device",
    "settle_due",
    "state_of",
    "stop_session",
]

# The largest numbers of a device that are outdone when the document knows less. They leave room
# below what the API takes (2**53, 2**31), so that one damaged device cannot use the room up.
MAX_OUTDONE = 2**52
MAX_OUTDONE_TERM = 2**30


def create(
    site: SiteDocument, request: NewSession, devices: Mapping[str, KnownDevice], *, now_ms: int
) -> Decision:
    """A new session: master elected, successors named, the same PREPARE to each member.

    Refused: ``bad_session``, ``unknown_device``, ``device_silent`` (it never called in, or none
    has lately), ``device_busy`` (unless ``replace``, which stops the sessions in the way). A
    session that stops already is in nobody's way.
    """
    members = members_of(request, devices)
    master = first_master(request, devices, now_ms)
    busy = [r for r in running_all(site) if any(r.spec.member(d) for d in request.device_ids)]
    if busy and not request.replace:
        taken = next(d for d in request.device_ids if busy[0].spec.member(d))
        raise Refused(
            "device_busy",
            f"{taken} plays in session {busy[0].spec.session_id}: "
            'stop that session first, or send "replace": true',
        )
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
        term_from_ms=now_ms,
        master_boot_id=master.boot_id,
        term_reason="created",
        pinned=request.pinned,
        created_by=request.who,
    )
    record = replace(record, spec=replace(spec, successors=successors(record, devices, now_ms)))
    decision = Decision(site)
    for old in busy:
        replaced = _replaced(decision.site, old, request, revision, now_ms)
        decision = joined(decision, replaced)
    site = replace(decision.site, revision=revision, sessions=(*decision.site.sessions, record))
    event = replace(
        _event("session_created", record, now_ms, request.who), device_id=master.device_id
    )
    return joined(decision, Decision(site, to_members(record, now_ms), events=(event,)))


def stop_session(site: SiteDocument, session_id: str, *, who: str = "", now_ms: int) -> Decision:
    """Stop a session: STOP to each member. One that stops already just goes on stopping.

    Refused: ``unknown_session``.
    """
    record = site.session(session_id)
    if record is None:
        raise Refused("unknown_session", f"no session {session_id} runs at this site")
    if record.state is SessionState.STOPPING:
        return Decision(site)
    revision, reason = next_revision(site, now_ms), "stopped by an operator"
    names = tuple(member.device_id for member in record.spec.members)
    stopping, commands = _stopping(record, names, reason, revision, now_ms)
    site = replace(changed(site, record, stopping), revision=revision)
    event = _event("session_stopped", record, now_ms, who, reason)
    return Decision(site, commands, events=(event,))


def settle_due(site: SiteDocument, progress: Mapping[str, Progress], *, now_ms: int) -> Decision:
    """Write down what time and answers have made of the sessions; ``progress`` by session id.

    One that has failed or ended leaves the document; the members of one that failed are told to
    stop, should any of them come to it late.
    """
    decision = Decision(site)
    for record in site.sessions:
        answers = progress.get(record.spec.session_id, Progress())
        state = state_of(record, answers, now_ms)
        if state is SessionState.ENDED:
            decision = joined(decision, _ended(decision.site, record, now_ms))
        elif state is SessionState.FAILED:
            decision = joined(decision, _failed(decision.site, record, answers, now_ms))
        elif state is not SessionState.STOPPING:
            obeyed = record.obeyed or max(answers.done, answers.ever_done) > 0
            noted = replace(record, state=state, obeyed=obeyed)
            if noted != record:
                site = changed(decision.site, record, noted)
                decision = replace(decision, site=site)
    return decision


def move_member(site: SiteDocument, place: Member, *, now_ms: int) -> Decision:
    """A member's LAN address or port is another now: the same term, told to all members."""
    record = site.session_of(place.device_id)
    if record is None or record.spec.member(place.device_id) == place:
        return Decision(site)
    members = tuple(place if m.device_id == place.device_id else m for m in record.spec.members)
    return reissued(
        site,
        record,
        replace(record.spec, members=members),
        "member_moved",
        now_ms=now_ms,
        device_id=place.device_id,
        detail=f"now at {place.address}",
    )


def reconcile(site: SiteDocument, device_id: str, held: Held, *, now_ms: int) -> Decision:
    """What a device must be told that holds ``held``: nothing, if that is right.

    A device that lost its state, was away for long, or leads in an old term gets the session
    as it is now; one that plays what has ended, or stops, gets a STOP.
    """
    record = site.session_of(device_id)
    credible = _is_credible(held)
    if record is None:
        return _not_playing(site, device_id, held, now_ms) if held.session_id else Decision(site)
    asked = Held(record.spec.session_id, record.spec.term, record.revision)
    if held == asked:
        return Decision(site)
    if credible and held.revision >= record.revision:
        # A document that was lost or is an old copy: the newest term must win.
        spec, detail = record.spec, f"{device_id} held a newer revision"
        if held.session_id == spec.session_id and held.term > spec.term:
            spec, detail = replace(spec, term=held.term + 1), f"{device_id} held a newer term"
            renewed = replace(record, term_reason=detail)
            site, record = changed(site, record, renewed), renewed
        return reissued(
            site,
            record,
            spec,
            "reissued",
            now_ms=now_ms,
            outdone=held.revision,
            device_id=device_id,
            detail=detail,
        )
    return Decision(site, ((device_id, prepare_notice(record.spec, record.revision, now_ms)),))


def _not_playing(site: SiteDocument, device_id: str, held: Held, now_ms: int) -> Decision:
    """The STOP for a device that claims a session and shall play none."""
    stopping = site.session(held.session_id)
    if stopping is not None and held.revision < stopping.revision:
        # The very STOP that it was told already, so that its answer counts.
        command = stop(held.session_id, stopping.spec.term, stopping.revision, now_ms)
        return Decision(site, ((device_id, command),))
    if _is_credible(held) and held.revision >= site.revision:
        # The document knows less than the device: it was lost. A new revision outdoes both.
        site = replace(site, revision=next_revision(site, now_ms, held.revision))
    command = stop(held.session_id, held.term, site.revision, now_ms)
    return Decision(site, ((device_id, command),))


def _is_credible(held: Held) -> bool:
    """Whether a cloud can have given that out; a claim beyond must not drive the site's numbers."""
    return held.revision <= MAX_OUTDONE and held.term <= MAX_OUTDONE_TERM


def _replaced(
    site: SiteDocument, old: SessionRecord, request: NewSession, revision: int, now_ms: int
) -> Decision:
    """A session that another one takes the devices of: STOP to those whom that leaves out."""
    reason = f"replaced by {request.session_id}"
    left = tuple(m.device_id for m in old.spec.members if m.device_id not in request.device_ids)
    stopping, commands = _stopping(old, left, reason, revision, now_ms)
    event = _event("session_replaced", old, now_ms, request.who, reason)
    decision = Decision(changed(site, old, stopping), commands, events=(event,))
    if left:
        return decision
    return joined(decision, _ended(decision.site, stopping, now_ms))


def _stopping(
    record: SessionRecord, names: tuple[str, ...], reason: str, revision: int, now_ms: int
) -> tuple[SessionRecord, tuple[tuple[str, Command], ...]]:
    """The record of a session that stops, and the STOP to each of ``names``."""
    command = stop(record.spec.session_id, record.spec.term, revision, now_ms)
    stopping = replace(
        record,
        state=after(record.state, SessionEvent.STOP),
        revision=revision,
        stopping_ms=now_ms,
        stops=len(names),
        end_reason=reason,
    )
    return stopping, tuple((name, command) for name in names)


def _ended(site: SiteDocument, record: SessionRecord, now_ms: int) -> Decision:
    ended = _left(record, SessionState.ENDED, now_ms)
    event = _event("session_ended", record, now_ms, detail=record.end_reason)
    return Decision(changed(site, record, None), ended=(ended,), events=(event,))


def _failed(site: SiteDocument, record: SessionRecord, answers: Progress, now_ms: int) -> Decision:
    members = record.spec.members
    reason = f"no device took it up within {FAIL_AFTER_MS // 1000} s of its start"
    if answers.failed >= len(members):
        reason = "every device refused it"
    revision = next_revision(site, now_ms)
    command = stop(record.spec.session_id, record.spec.term, revision, now_ms)
    failed = replace(_left(record, SessionState.FAILED, now_ms), end_reason=reason)
    site = replace(changed(site, record, None), revision=revision)
    event = _event("session_failed", record, now_ms, detail=reason)
    commands = tuple((member.device_id, command) for member in members)
    return Decision(site, commands, ended=(failed,), events=(event,))


def _left(record: SessionRecord, state: SessionState, now_ms: int) -> SessionRecord:
    """The record of a session that leaves the document."""
    # Nobody needs its secret any more, and the record is kept for long.
    spec = replace(record.spec, secret_hex="")
    return replace(record, spec=spec, state=state, ended_ms=now_ms)


def _event(
    kind: str, record: SessionRecord, now_ms: int, who: str = "", detail: str = ""
) -> SiteEvent:
    spec = record.spec
    return SiteEvent(kind, now_ms, spec.session_id, spec.term, who=who, detail=detail)
