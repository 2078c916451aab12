"""What operators look at: sites, their devices, drift, events, telemetry and days."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from services.control_plane.calls import call_of
from services.control_plane.gate.access import CallerOf, ContextOf
from services.control_plane.operators import bodies
from services.control_plane.operators.bodies import DeviceId, Site, TimeMs
from services.control_plane.operators.decide import settled, unknown_device
from services.control_plane.operators.kpis import dates_until, day_body, invocations
from services.control_plane.operators.session_bodies import (
    device_body,
    is_online,
    session_body,
    session_line,
)
from services.control_plane.side_by_side import side_by_side
from unisono.core.event_kinds import FALLBACK
from unisono.state import keys
from unisono.state.documents import NO_SITE

MAX_EVENTS = 1000
MAX_DAYS = 70
MAX_DRIFT_S = 86_400
MAX_ITEMS = 1000

router = APIRouter(prefix="/v1/sites", tags=["sites"], responses=bodies.ERRORS)
Limit = Annotated[int, Query(ge=1, le=MAX_EVENTS)]


@router.get("", name="sites")
async def list_sites(request: Request, caller: CallerOf, context: ContextOf) -> bodies.SitesBody:
    """The sites that the caller may see, with what runs there."""
    names = [site for site in await context.store.sites() if caller.may_see(site)]
    lines = await side_by_side(lambda site: _site_line(request, site), names)
    call_of(request).site = NO_SITE
    return bodies.SitesBody(sites=lines)


async def _site_line(request: Request, site: str) -> bodies.SiteLine:
    found = await settled(request, site)
    return bodies.SiteLine(
        site=site,
        devices=len(found.view.devices),
        devices_seen=sum(is_online(name, found) for name in found.view.devices),
        sessions=[session_line(record, found) for record in found.site.sessions],
    )


@router.get("/{site}", name="site")
async def show_site(
    site: Site, request: Request, _: CallerOf, context: ContextOf
) -> bodies.SiteBody:
    """The site's devices, as they last reported, and the sessions that run."""
    found = await settled(request, site)
    yesterday, today = dates_until(found.now_ms, 2)
    days = await context.store.days(site, [yesterday, today])
    events = found.view.events
    return bodies.SiteBody(
        site=site,
        server_time_ms=found.now_ms,
        flags_version=found.site.flags.version,
        devices=[device_body(name, found) for name in sorted(found.view.devices)],
        sessions=[session_body(site, record, found) for record in found.site.sessions],
        counters=bodies.CountersBody(
            failovers=events.get("failover", 0),
            fallbacks=events.get(FALLBACK, 0),
            invocations_today=invocations(days[today]),
            invocations_yesterday=invocations(days[yesterday]),
        ),
    )


@router.get("/{site}/sessions", name="site-sessions")
async def list_sessions(
    site: Site,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    limit: Annotated[int, Query(ge=1, le=keys.HISTORY.keep)] = 50,
) -> bodies.SessionsBody:
    """Sessions of the site: those that run first, then those that are over."""
    found = await settled(request, site)
    running = [session_body(site, record, found) for record in found.site.sessions]
    over = [
        session_body(site, record, found) for record in await context.store.history(site, limit)
    ]
    return bodies.SessionsBody(sessions=[*running, *over][:limit])


@router.get("/{site}/drift", name="drift")
async def show_drift(
    site: Site,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    seconds: Annotated[int, Query(ge=1, le=MAX_DRIFT_S)] = 600,
) -> bodies.DriftBody:
    """The drift of every device of late, as its status told it."""
    found = await settled(request, site)
    from_ms, to_ms = found.now_ms - seconds * 1000, found.now_ms
    names = sorted(found.view.devices)
    drift = await context.store.drift(site, names, from_ms=from_ms, to_ms=to_ms)
    return bodies.DriftBody(
        server_time_ms=to_ms,
        devices={
            name: [(at_ms, p.mean, p.max, p.mode, p.term) for at_ms, p in drift.get(name, [])]
            for name in names
        },
    )


@router.get("/{site}/events", name="events")
async def list_events(
    site: Site,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    before_ms: TimeMs | None = None,
    limit: Limit = 100,
) -> bodies.EventsBody:
    """What happened at the site, newest first; ``before_ms`` is for the page before."""
    await settled(request, site)
    before = bodies.MAX_NUMBER if before_ms is None else before_ms
    events = await context.store.events(site, before_ms=before, limit=limit)
    return bodies.EventsBody(events=[bodies.EventBody(**_plain(event)) for event in events])


@router.get("/{site}/kpis", name="kpis")
async def show_kpis(
    site: Site,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 14,
) -> bodies.KpisBody:
    """The last days (UTC) of the site in figures, the present one last."""
    found = await settled(request, site)
    dates = dates_until(found.now_ms, days)
    sums = await context.store.days(site, list(dates))
    return bodies.KpisBody(days=[day_body(iso, sums[date]) for date, iso in dates.items()])


@router.get("/{site}/devices/{device_id}/telemetry", name="device-telemetry")
async def show_telemetry(
    site: Site,
    device_id: DeviceId,
    *,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    from_ms: TimeMs = 0,
    to_ms: TimeMs = bodies.MAX_NUMBER,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = 100,
) -> bodies.TelemetryBody:
    """Summaries and events that a device has delivered, newest first."""
    found = await settled(request, site)
    if device_id not in found.view.devices:
        raise unknown_device(device_id)
    items = await context.store.telemetry(
        site, device_id, from_ms=from_ms, to_ms=to_ms, limit=limit
    )
    return bodies.TelemetryBody(items=[_plain(item) for item in items])


def _plain(document: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain
