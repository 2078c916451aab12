"""What every change of a site's document is made of: a new revision, told to all members."""

from dataclasses import replace

from unisono.core.commands import Command, prepare
from unisono.core.session import SessionSpec
from unisono.core.site_document import Decision, Refused, SessionRecord, SiteDocument


def running(site: SiteDocument, session_id: str) -> SessionRecord:
    """The running session of that id. Refused: ``unknown_session``."""
    record = site.session(session_id)
    if record is None:
        raise Refused("unknown_session", f"no session {session_id} runs at this site")
    return record


def next_revision(site: SiteDocument, now_ms: int, outdone: int = 0) -> int:
    """Larger than all before, and than ``outdone``.

    It is never below the wall clock: after a loss of all data that alone is larger than what
    devices hold, unless the clock was put back or one device has met more than another.
    """
    return max(site.revision + 1, outdone + 1, now_ms)


def changed(site: SiteDocument, record: SessionRecord, renewed: SessionRecord) -> SiteDocument:
    """The document with ``renewed`` in the place of ``record``; nobody has to be told."""
    sessions = tuple(renewed if r is record else r for r in site.sessions)
    return SiteDocument(site.revision, sessions)


def reissued(
    site: SiteDocument,
    record: SessionRecord,
    spec: SessionSpec,
    event: str,
    *,
    now_ms: int,
    outdone: int = 0,
) -> Decision:
    """The session with a new spec and revision, and its PREPARE to every member."""
    revision = next_revision(site, now_ms, outdone)
    renewed = replace(record, spec=spec, revision=revision)
    site = replace(changed(site, record, renewed), revision=revision)
    return Decision(site, to_members(renewed, now_ms), events=(event,))


def to_members(record: SessionRecord, now_ms: int) -> tuple[tuple[str, Command], ...]:
    """The same PREPARE to each member."""
    command = prepare(record.spec, record.revision, now_ms)
    return tuple((member.device_id, command) for member in record.spec.members)


def joined(first: Decision, then: Decision) -> Decision:
    """Two decisions as one: ``then`` was made of the document that ``first`` led to."""
    return Decision(
        then.site,
        first.commands + then.commands,
        first.ended + then.ended,
        first.events + then.events,
    )
