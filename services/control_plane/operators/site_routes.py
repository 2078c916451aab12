"""What operators look at: sites, their devices, drift, events, telemetry and days."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from services.control_plane.calls import call_of
from services.control_plane.context import Context
from services.control_plane.gate.access import CallerOf, ContextOf, Guarded
from services.control_plane.operators import bodies
from services.control_plane.operators.bodies import Before, DeviceId, Site, TimeMs
from services.control_plane.operators.decide import glanced, outlined, settled, unknown_device
from services.control_plane.operators.kpis import dates_until, day_body, device_calls, invocations
from services.control_plane.operators.session_bodies import (
    device_body,
    session_body,
    site_line,
)
from services.control_plane.side_by_side import side_by_side
from unisono.core.event_kinds import FALLBACK
from unisono.state import keys
from unisono.state.paging import Cursor

MAX_EVENTS = 1000
MAX_DAYS = 70
MAX_DRIFT_S = 86_400
MAX_ITEMS = 1000
MAX_SITES = 1000
MAX_POINTS = 20_000

router = APIRouter(prefix="/v1/sites", tags=["sites"], responses=bodies.ERRORS, route_class=Guarded)
Limit = Annotated[int, Query(ge=1, le=MAX_EVENTS)]


@router.get("", name="sites")
async def list_sites(
    request: Request,
    caller: CallerOf,
    context: ContextOf,
    after: Annotated[bodies.Name | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_SITES)] = 100,
) -> bodies.SitesBody:
    """The sites that the caller may see, by name, with what runs there."""
    names = [site for site in await context.store.sites() if caller.may_see(site)]
    left = names if after is None else [name for name in names if name > after]
    page = left[:limit]

    async def line(site: str) -> bodies.SiteLine:
        return site_line(site, await glanced(context, site))

    lines = await side_by_side(line, page, call_of(request).meter)
    return bodies.SitesBody(sites=lines, next=page[-1] if len(left) > limit else None)


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
            device_calls_today=device_calls(days[today]),
            device_calls_yesterday=device_calls(days[yesterday]),
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
    found = await outlined(request, site)
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
    points: Annotated[int, Query(ge=1, le=MAX_POINTS, description="The most, in all")] = MAX_POINTS,
) -> bodies.DriftBody:
    """The drift of every device of late, as its status told it; thinned if there is too much."""
    found = await outlined(request, site)
    from_ms, to_ms = found.now_ms - seconds * 1000, found.now_ms
    names = sorted(found.view.devices)
    drift = await context.store.drift(site, names, from_ms=from_ms, to_ms=to_ms, most=points)
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
    before: Before | None = None,
    limit: Limit = 100,
) -> bodies.EventsBody:
    """What happened at the site, newest first; ``before`` is the page's ``next``."""
    await outlined(request, site)
    return await events_body(context, site, before, limit)


@router.get("/{site}/kpis", name="kpis")
async def show_kpis(
    site: Site,
    request: Request,
    _: CallerOf,
    context: ContextOf,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 14,
) -> bodies.KpisBody:
    """The last days (UTC) of the site in figures, the present one last."""
    found = await outlined(request, site)
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
    before: Before | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = 100,
) -> bodies.TelemetryBody:
    """Summaries and events that a device has delivered, newest first."""
    found = await outlined(request, site)
    if device_id not in found.view.devices:
        raise unknown_device(device_id)
    page = await context.store.telemetry(
        site, device_id, from_ms=from_ms, to_ms=to_ms, before=_cursor(before), limit=limit
    )
    return bodies.TelemetryBody(items=[_plain(item) for item in page.items], next=_text(page.next))


async def events_body(
    context: Context, site: str, before: str | None, limit: int
) -> bodies.EventsBody:
    """A page of what happened at a site, or to accounts."""
    page = await context.store.events(site, before=_cursor(before), limit=limit)
    events = [bodies.EventBody(**_plain(event)) for event in page.items]
    return bodies.EventsBody(events=events, next=_text(page.next))


def _cursor(text: str | None) -> Cursor | None:
    return None if text is None else Cursor.of(text)


def _text(cursor: Cursor | None) -> str | None:
    return None if cursor is None else str(cursor)


def _plain(document: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain
