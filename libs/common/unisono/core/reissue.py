"""What every change of a site's document is made of: a new revision, told to all members."""

from dataclasses import replace

from unisono.core.commands import Command, prepare_notice
from unisono.core.session import SessionSpec
from unisono.core.session_state import Progress, SessionEvent, SessionState, after, state_at
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
        stopping_ms=record.stopping_ms,
        members=record.stops if stops else len(record.spec.members),
        progress=replace(progress, ever_done=ever_done),
        now_ms=now_ms,
    )


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
