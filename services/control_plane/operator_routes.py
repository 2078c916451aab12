"""What operators call: sites, enrolment tokens, sessions."""

import secrets
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request

from services.control_plane import models
from services.control_plane.calls import call_of
from services.control_plane.context import Context, operator
from services.control_plane.decide import settle
from services.control_plane.errors import ApiError
from services.control_plane.known import known_device, known_devices
from services.control_plane.tokens import (
    digest_of,
    new_session_id,
    new_token,
    site_of_session,
)
from unisono.config.flags import PREFIX, Flags, load_flags
from unisono.config.table import ConfigError, rows
from unisono.core import control_session, leadership
from unisono.core.election import LEASE_HEARTBEATS
from unisono.core.site_document import (
    Decision,
    NewSession,
    Refused,
    SessionRecord,
)
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import ms_to_ns, ns_to_ms
from unisono.state.documents import SiteView
from unisono.state.records import EnrolToken

SECRET_BYTES = 32

router = APIRouter(
    prefix="/v1",
    tags=["operators"],
    responses={code: {"model": models.ErrorBody} for code in (400, 401, 404, 409, 422, 503)},
)
Operator = Annotated[Context, Depends(operator)]
Site = Annotated[str, Path(pattern=models.NAME_PATTERN, examples=["lobby"])]


@router.post("/sites/{site}/enroll-tokens", name="enroll-tokens", status_code=201)
async def make_tokens(
    site: Site, asked: models.TokensRequest, context: Operator, request: Request
) -> models.TokensReply:
    """One-time tokens with which devices join the site; the site exists from then on."""
    call_of(request).site = site
    now_ms = context.now_ms()
    expires_ms = now_ms + asked.ttl_s * 1000
    tokens = [new_token(site) for _ in range(asked.count)]
    kept = {digest_of(token): EnrolToken(expires_ms) for token in tokens}
    await context.store.add_tokens(site, kept, now_ms=now_ms)
    return models.TokensReply(tokens=tokens, expires_ms=expires_ms)


@router.get("/sites/{site}", name="site")
async def show_site(site: Site, context: Operator, request: Request) -> models.SiteBody:
    """The site's devices, as they last reported, and the sessions that run."""
    view = await context.store.site_view(site)
    if not view.exists:
        raise _unknown_site(site)
    call_of(request).site = site
    now_ms = context.now_ms()
    devices = [
        models.DeviceBody(
            device_id=device_id,
            seen_ms=view.seen_ms.get(device_id),
            heartbeat=_plain(view.reports.get(device_id)),
            status=_plain(view.statuses.get(device_id)),
        )
        for device_id in sorted(view.devices)
    ]
    sessions = [_session_body(site, record, now_ms) for record in view.site.sessions]
    return models.SiteBody(site=site, server_time_ms=now_ms, devices=devices, sessions=sessions)


@router.post("/sessions", name="create-session", status_code=201)
async def create_session(
    asked: models.SessionRequest, context: Operator, request: Request
) -> models.SessionBody:
    """Start a session: elect a master and send every device the same ``SYNC_PREPARE``."""
    flags, effective = _flags(asked.flags)
    session_id, secret_hex = new_session_id(asked.site), secrets.token_hex(SECRET_BYTES)
    now_ms = context.now_ms()
    films = tuple(
        MediaItem(film.uri, ms_to_ns(film.duration_ms), film.fingerprint) for film in asked.playlist
    )

    def decide(view: SiteView) -> Decision:
        if not view.exists:
            raise _unknown_site(asked.site)
        wanted = asked.device_ids
        new = NewSession(
            session_id=session_id,
            secret_hex=secret_hex,
            device_ids=tuple(sorted(view.devices) if wanted is None else wanted),
            playlist=Playlist(films),
            start_delay_ms=asked.start_delay_ms,
            lease_ms=round(effective.heartbeat_s * 1000) * LEASE_HEARTBEATS,
            replace=asked.replace,
            pinned=asked.master or "",
            flags=flags,
        )
        known = {name: known_device(view, name) for name in view.devices}
        return control_session.create(view.site, new, known, now_ms=now_ms)

    decision = await _settle(context, request, asked.site, decide)
    record = decision.site.session(session_id)
    if record is None:
        raise AssertionError("a session that was created runs")
    return _session_body(asked.site, record, now_ms)


@router.get("/sessions/{session_id}", name="session")
async def show_session(session_id: str, context: Operator, request: Request) -> models.SessionBody:
    """One session, running or ended."""
    site = _site_of(session_id)
    record = (await context.store.site_view(site)).site.session(session_id)
    record = record or await context.store.ended(site, session_id)
    if record is None:
        raise _unknown_session(session_id)
    call_of(request).site = site
    return _session_body(site, record, context.now_ms())


@router.post("/sessions/{session_id}/stop", name="stop-session")
async def stop_session(session_id: str, context: Operator, request: Request) -> models.SessionBody:
    """End a session: ``SYNC_STOP`` to every member. Stopping it twice is no error."""
    site, now_ms = _site_of(session_id), context.now_ms()
    try:
        decision = await _settle(
            context,
            request,
            site,
            lambda view: control_session.stop_session(view.site, session_id, now_ms=now_ms),
        )
        record: SessionRecord | None = decision.ended[0]
    except Refused:
        record = await context.store.ended(site, session_id)
    if record is None:
        raise _unknown_session(session_id)
    call_of(request).site = site
    return _session_body(site, record, now_ms)


@router.post("/sessions/{session_id}/master", name="change-master")
async def change_master(
    session_id: str, asked: models.MasterRequest, context: Operator, request: Request
) -> models.SessionBody:
    """Move the lead, in a new term; the start and the timeline stay as they are."""
    site, now_ms = _site_of(session_id), context.now_ms()

    def decide(view: SiteView) -> Decision:
        return leadership.change_master(
            view.site,
            session_id,
            known_devices(view),
            device_id=asked.device_id or "",
            now_ms=now_ms,
        )

    decision = await _settle(context, request, site, decide)
    record = decision.site.session(session_id)
    if record is None:
        raise AssertionError("a session whose master was changed runs")
    return _session_body(site, record, now_ms)


async def _settle(
    context: Context, request: Request, site: str, decide: Callable[[SiteView], Decision]
) -> Decision:
    store = context.store
    _, decision = await settle(store, site, lambda: store.site_view(site), decide)
    call_of(request).site = site
    return decision


def _flags(asked: dict[str, bool | int | float | str]) -> tuple[dict[str, str], Flags]:
    """The flags as text, and as they read over the defaults; 422 names the one that is unfit."""
    names = {line.name for line in rows(Flags, PREFIX)}
    unknown = next((name for name in asked if name not in names), None)
    if unknown is not None:
        raise ApiError(422, "bad_field", f"flags: there is no flag {unknown}")
    texts = {name: _text(value) for name, value in asked.items()}
    try:
        return texts, load_flags(texts, base=Flags())
    except ConfigError as error:
        raise ApiError(422, "bad_field", f"flags: {error}") from None


def _text(value: bool | int | float | str) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _session_body(site: str, record: SessionRecord, now_ms: int) -> models.SessionBody:
    spec = record.spec
    return models.SessionBody(
        session_id=spec.session_id,
        site=site,
        state=control_session.state_at(record, now_ms).value,
        term=spec.term,
        master_device_id=spec.master_device_id,
        revision=record.revision,
        members=[models.MemberBody(**msgspec.to_builtins(member)) for member in spec.members],
        playlist=[
            models.Film(
                uri=film.uri,
                duration_ms=ns_to_ms(film.duration_ns),
                fingerprint=film.fingerprint,
            )
            for film in spec.playlist.items
        ],
        term_reason=record.term_reason,
        start_at_ms=spec.start_at_ms,
        created_ms=record.created_ms,
        ended_ms=record.ended_ms,
        end_reason=record.end_reason,
        flags=spec.flags,
    )


def _plain(document: Any) -> dict[str, Any] | None:
    plain: dict[str, Any] | None = msgspec.to_builtins(document)
    return plain


def _site_of(session_id: str) -> str:
    site = site_of_session(session_id)
    if site is None:
        raise _unknown_session(session_id)
    return site


def _unknown_site(site: str) -> ApiError:
    return ApiError(404, "unknown_site", f"there is no site {site}: make enrolment tokens for it")


def _unknown_session(session_id: str) -> ApiError:
    return ApiError(404, "unknown_session", f"there is no session {session_id[:80]}")
