"""Flags of a site, and of single devices for a canary: who set them, when and why."""

import json
from typing import Any

from fastapi import APIRouter, Request

from services.control_plane.context import Context
from services.control_plane.gate.access import CallerOf, ContextOf, Guarded
from services.control_plane.operators import bodies
from services.control_plane.operators.bodies import Site
from services.control_plane.operators.decide import Settled, outlined, unknown_device
from services.control_plane.operators.flag_bodies import FlagChange, FlagsBody, FlagsRequest
from services.control_plane.operators.flag_values import check_names, texts_of
from unisono.core.flagset import change_flags
from unisono.core.site_document import Decision, SiteEvent
from unisono.state.documents import SiteOutline

MAX_HISTORY = 50
# Of the changes of one millisecond the log gives any first: so many more are read and ordered.
AT_ONCE = 50

router = APIRouter(
    prefix="/v1/sites/{site}/flags",
    tags=["flags"],
    responses=bodies.ERRORS,
    route_class=Guarded,
)


@router.get("", name="flags")
async def show_flags(site: Site, request: Request, _: CallerOf, context: ContextOf) -> FlagsBody:
    """The flags that are set, and the last changes of them."""
    found = await outlined(request, site)
    return await _body(site, found, context)


@router.patch("", name="change-flags")
async def patch_flags(
    site: Site,
    asked: FlagsRequest,
    request: Request,
    caller: CallerOf,
    context: ContextOf,
) -> FlagsBody:
    """Set flags, or (null) remove them; sessions that run get them at once, in the same term."""
    given = {name: value for name, value in asked.values.items() if value is not None}
    values: dict[str, str | None] = {**dict.fromkeys(asked.values), **texts_of(given)}
    device_id = asked.device_id or ""

    def decide(view: SiteOutline) -> Decision:
        if device_id and device_id not in view.devices:
            raise unknown_device(device_id)
        flags = view.site.flags
        held = flags.devices.get(device_id, {}) if device_id else flags.site
        check_names(values, also=held)  # a flag that there is no more can be taken back
        return change_flags(
            view.site,
            values,
            device_id=device_id,
            who=caller.name,
            why=asked.why,
            now_ms=context.now_ms(),
        )

    found = await outlined(request, site, decide)
    return await _body(site, found, context)


async def _body(site: str, found: Settled[SiteOutline], context: Context) -> FlagsBody:
    flags = found.site.flags
    events = await context.store.flag_changes(site, MAX_HISTORY + AT_ONCE)
    known = [change for change in map(_change, events) if change is not None]
    # By version and not by time: two changes may fall into one millisecond.
    newest = sorted(known, key=lambda change: change.version, reverse=True)
    return FlagsBody(
        version=flags.version,
        site=dict(flags.site),
        devices={name: dict(values) for name, values in flags.devices.items()},
        history=newest[:MAX_HISTORY],
    )


def _change(event: SiteEvent) -> FlagChange | None:
    """What a ``flags_changed`` event says; its detail is JSON."""
    try:
        said: dict[str, Any] = json.loads(event.detail)
        return FlagChange(
            version=said["version"],
            at_ms=event.at_ms,
            who=event.who,
            device_id=event.device_id,
            values=said["values"],
            why=said["why"],
        )
    except (ValueError, KeyError, TypeError):
        return None
