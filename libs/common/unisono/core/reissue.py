"""What every change of a site's document is made of: a new revision, told to all members."""

from dataclasses import replace

from unisono.core.commands import Command, prepare_notice
from unisono.core.election import LEASE_HEARTBEATS
from unisono.core.leases import MAX_RETURN_MS
from unisono.core.session import SessionSpec
from unisono.core.session_state import (
    FAIL_AFTER_MS,
    Progress,
    SessionEvent,
    SessionState,
    after,
    state_at,
)
from unisono.core.site_document import (
    Decision,
    Refused,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)


def running(site: SiteDocument, session_id: str) -> SessionRecord:
    """The running session of that id. Refused: ``unknown_session``, also when it stops."""
    record = site.session(session_id)
    if record is None:
        raise Refused("unknown_session", f"no session {session_id} runs at this site")
    if record.state is SessionState.STOPPING:
        raise Refused("unknown_session", f"session {session_id} is stopping: start a new one")
    return record


def running_all(site: SiteDocument) -> tuple[SessionRecord, ...]:
    """The sessions that run; not those that stop."""
    return tuple(r for r in site.sessions if r.state is not SessionState.STOPPING)


def next_revision(site: SiteDocument, now_ms: int, outdone: int = 0) -> int:
    """Larger than all before, and than ``outdone``.

    It is never below the wall clock: after a loss of all data that alone is larger than what
    devices hold, unless the clock was put back or one device has met more than another.
    """
    return max(site.revision + 1, outdone + 1, now_ms)


def changed(
    site: SiteDocument, record: SessionRecord, renewed: SessionRecord | None
) -> SiteDocument:
    """The document with ``renewed`` in the place of ``record`` (None: without it)."""
    sessions = (renewed if r is record else r for r in site.sessions)
    return replace(site, sessions=tuple(r for r in sessions if r is not None))


def state_of(record: SessionRecord, progress: Progress, now_ms: int) -> SessionState:
    """The state of a session now; ``progress`` is how its newest command was answered."""
    stops = record.state is SessionState.STOPPING
    ever_done = max(progress.ever_done, int(record.obeyed))
    return state_at(
        record.state,
        start_at_ms=record.spec.start_at_ms,
        fail_at_ms=fail_at_ms(record, now_ms),
        stopping_ms=record.stopping_ms,
        members=record.stops if stops else len(record.spec.members),
        progress=replace(progress, ever_done=ever_done),
        now_ms=now_ms,
    )


def fail_at_ms(record: SessionRecord, now_ms: int) -> int | None:
    """When a session fails that nobody takes up: all had the time to by then, and to spare.

    None: it cannot be said, since nobody has looked at it for longer than a lease. Then the cloud
    was away, or no device of the site could call; `looked_at` notes that this is over.
    """
    spec = record.spec
    if now_ms - max(spec.start_at_ms, record.looked_ms) > record.lease_ms:
        return None
    from_ms = max(spec.start_at_ms, record.lease_from_ms, record.waits_from_ms)
    return from_ms + max(FAIL_AFTER_MS, 2 * record.lease_ms)


def looked_at(record: SessionRecord, now_ms: int) -> SessionRecord:
    """The record with the note that somebody looks, once a heartbeat, if it has to be taken up.

    After a silence devices have the time that they need to come back: as long as it was, up to
    41 s, since who finds the cloud away asks less and less often.
    """
    if record.obeyed or now_ms < record.spec.start_at_ms:
        return record
    silence_ms = now_ms - max(record.spec.start_at_ms, record.looked_ms)
    if silence_ms > record.lease_ms:
        waits_from_ms = now_ms + min(silence_ms, MAX_RETURN_MS)
        return replace(record, looked_ms=now_ms, waits_from_ms=waits_from_ms)
    if silence_ms >= max(record.lease_ms // LEASE_HEARTBEATS, 1):
        return replace(record, looked_ms=now_ms)
    return record


def reissued(
    site: SiteDocument,
    record: SessionRecord,
    spec: SessionSpec,
    kind: str,
    *,
    now_ms: int,
    outdone: int = 0,
    device_id: str = "",
    who: str = "",
    detail: str = "",
) -> Decision:
    """The session with a new spec and revision, its PREPARE to every member, and the event."""
    revision = next_revision(site, now_ms, outdone)
    state = after(record.state, SessionEvent.REISSUED)
    term_from_ms = record.term_from_ms if spec.term == record.spec.term else now_ms
    renewed = replace(record, spec=spec, revision=revision, state=state, term_from_ms=term_from_ms)
    site = replace(changed(site, record, renewed), revision=revision)
    event = SiteEvent(kind, now_ms, spec.session_id, spec.term, device_id, who, detail)
    return Decision(site, to_members(renewed, now_ms), events=(event,))


def to_members(record: SessionRecord, now_ms: int) -> tuple[tuple[str, Command], ...]:
    """The same PREPARE to each member, as it waits in the queues."""
    command = prepare_notice(record.spec, record.revision, now_ms)
    return tuple((member.device_id, command) for member in record.spec.members)


def joined(first: Decision, then: Decision) -> Decision:
    """Two decisions as one: ``then`` was made of the document that ``first`` led to."""
    return Decision(
        then.site,
        first.commands + then.commands,
        first.ended + then.ended,
        first.events + then.events,
    )
