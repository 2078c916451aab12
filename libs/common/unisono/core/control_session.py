"""Decisions of the control plane on sessions: (document, event, now) -> (document, commands).

One document per site holds the sessions that run there. Each function below returns the next
document and the commands that go with it; the shell makes both durable in one atomic step, or
neither, and asks again when another instance was faster. Sessions that ended leave the document.
Who leads, and when that changes, is in `leadership`; who is revoked, in `removal`; what devices say
that they hold, in `claims`; where they are, in `presence`; the states of a session are in
`session_state`.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.claims import reconcile
from unisono.core.clock_steps import in_time
from unisono.core.commands import Command, stop
from unisono.core.presence import move_member
from unisono.core.reissue import (
    changed,
    joined,
    looked_at,
    next_revision,
    running_all,
    state_of,
    to_members,
)
from unisono.core.removal import remove_device
from unisono.core.session import SessionSpec
from unisono.core.session_request import members_of
from unisono.core.session_state import (
    Progress,
    SessionEvent,
    SessionState,
    after,
)
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    NewSession,
    Refused,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)
from unisono.core.succession import first_master, successors

__all__ = [
    "create",
    "move_member",
    "reconcile",
    "remove_device",
    "settle_due",
    "state_of",
    "stop_session",
]


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
    for found in site.sessions:
        answers = progress.get(found.spec.session_id, Progress())
        record = looked_at(in_time(found, now_ms), now_ms)
        if record is not found:
            decision = replace(decision, site=changed(decision.site, found, record))
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
    waited_s = (now_ms - record.spec.start_at_ms) // 1000
    reason = f"no device took it up within {waited_s} s of its start"
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
