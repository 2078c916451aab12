"""What operators do with sessions: start, look, stop, move the lead."""

import secrets

from fastapi import APIRouter, Request

from services.control_plane.errors import ApiError
from services.control_plane.gate.access import CallerOf, ContextOf, Guarded
from services.control_plane.gate.tokens import new_session_id, site_of_session
from services.control_plane.operators import bodies
from services.control_plane.operators.bodies import SessionId
from services.control_plane.operators.decide import Settled, enrolled, outlined, settled
from services.control_plane.operators.flag_values import effective, texts_of
from services.control_plane.operators.session_bodies import session_body
from unisono.core import control_session, leadership
from unisono.core.election import LEASE_HEARTBEATS
from unisono.core.site_document import Decision, NewSession, SessionRecord
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import ms_to_ns
from unisono.state.documents import SiteOutline, SiteView

SECRET_BYTES = 32

router = APIRouter(
    prefix="/v1/sessions", tags=["sessions"], responses=bodies.ERRORS, route_class=Guarded
)


@router.post("", name="create-session", status_code=201)
async def create_session(
    asked: bodies.SessionRequest, request: Request, caller: CallerOf, context: ContextOf
) -> bodies.SessionBody:
    """Start a session: elect a master and send every device the same ``SYNC_PREPARE``."""
    caller.need_site(asked.site)
    flags = texts_of(asked.flags)
    session_id, secret_hex = new_session_id(asked.site), secrets.token_hex(SECRET_BYTES)
    films = tuple(
        MediaItem(film.uri, ms_to_ns(film.duration_ms), film.fingerprint) for film in asked.playlist
    )

    def decide(view: SiteView) -> Decision:
        wanted = asked.device_ids
        holding = effective({**view.site.flags.site, **flags})
        new = NewSession(
            session_id=session_id,
            secret_hex=secret_hex,
            device_ids=tuple(sorted(view.devices) if wanted is None else wanted),
            playlist=Playlist(films),
            start_delay_ms=asked.start_delay_ms,
            lease_ms=round(holding.heartbeat_s * 1000) * LEASE_HEARTBEATS,
            replace=asked.replace,
            pinned=asked.master or "",
            flags=flags,
            who=caller.name,
        )
        return control_session.create(view.site, new, enrolled(view), now_ms=context.now_ms())

    found = await settled(request, asked.site, decide)
    return _body(asked.site, session_id, found)


@router.get("/{session_id}", name="session")
async def show_session(
    session_id: SessionId, request: Request, _: CallerOf, context: ContextOf
) -> bodies.SessionBody:
    """One session, whether it runs or is over."""
    site = _site_of(session_id)
    found = await outlined(request, site, absent=_unknown(session_id))
    record = found.find(session_id) or await context.store.ended(site, session_id)
    return session_body(site, _known(session_id, record), found)


@router.post("/{session_id}/stop", name="stop-session")
async def stop_session(
    session_id: SessionId, request: Request, caller: CallerOf, context: ContextOf
) -> bodies.SessionBody:
    """End a session: ``SYNC_STOP`` to every member. Stopping it twice is no error."""
    site = _site_of(session_id)

    def decide(view: SiteOutline) -> Decision:
        if view.site.session(session_id) is None:
            return Decision(view.site)
        return control_session.stop_session(
            view.site, session_id, who=caller.name, now_ms=context.now_ms()
        )

    found = await outlined(request, site, decide, absent=_unknown(session_id))
    record = found.find(session_id) or await context.store.ended(site, session_id)
    return session_body(site, _known(session_id, record), found)


@router.post("/{session_id}/master", name="change-master")
async def change_master(
    session_id: SessionId,
    asked: bodies.MasterRequest,
    request: Request,
    caller: CallerOf,
    context: ContextOf,
) -> bodies.SessionBody:
    """Move the lead, in a new term; the start and the timeline stay as they are."""
    site = _site_of(session_id)

    def decide(view: SiteView) -> Decision:
        return leadership.change_master(
            view.site,
            session_id,
            enrolled(view),
            device_id=asked.device_id or "",
            who=caller.name,
            now_ms=context.now_ms(),
        )

    found = await settled(request, site, decide, absent=_unknown(session_id))
    return _body(site, session_id, found)


def _body(site: str, session_id: str, found: Settled[SiteView]) -> bodies.SessionBody:
    """The session that a decision was about."""
    return session_body(site, _known(session_id, found.find(session_id)), found)


def _known(session_id: str, record: SessionRecord | None) -> SessionRecord:
    if record is None:
        raise _unknown(session_id)
    return record


def _site_of(session_id: str) -> str:
    site = site_of_session(session_id)
    if site is None:
        raise _unknown(session_id)
    return site


def _unknown(session_id: str) -> ApiError:
    return ApiError(404, "unknown_session", f"there is no session {session_id}")
