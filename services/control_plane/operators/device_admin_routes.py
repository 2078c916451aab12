"""What administrators do with devices: let them join, have their secret changed, revoke them."""

import secrets
from dataclasses import replace

from fastapi import APIRouter, Request

from services.control_plane.calls import call_of
from services.control_plane.gate.access import CallerOf, ContextOf, Guarded
from services.control_plane.gate.tokens import digest_of, new_token
from services.control_plane.operators import audit, bodies
from services.control_plane.operators.bodies import DeviceId, Site
from services.control_plane.operators.decide import (
    enrolled,
    outlined,
    settled,
    unknown_device,
)
from unisono.core import control_session
from unisono.core.site_document import Decision
from unisono.state import keys
from unisono.state.documents import Batch, DocumentStore, Kept, SiteOutline, SiteView
from unisono.state.records import DeviceRecord, EnrolToken

SECRET_BYTES = 32
# What is kept of a device by its id, and is nobody's business once it is revoked.
_OF_DEVICE = (keys.DEVICES, keys.REPORTS, keys.STATUSES, keys.SEEN, keys.ACKS, keys.DELIVERED)

router = APIRouter(
    prefix="/v1/sites/{site}",
    tags=["administration"],
    responses=bodies.ERRORS,
    route_class=Guarded,
)


@router.post("/enroll-tokens", name="enroll-tokens", status_code=201)
async def make_tokens(
    site: Site, asked: bodies.TokensRequest, request: Request, caller: CallerOf, context: ContextOf
) -> bodies.TokensReply:
    """One-time tokens with which devices join the site; the site exists from then on."""
    now_ms = context.now_ms()
    expires_ms = now_ms + asked.ttl_s * 1000
    tokens = [new_token(site) for _ in range(asked.count)]
    kept = {digest_of(token): EnrolToken(expires_ms) for token in tokens}
    detail = f"{asked.count} good for {asked.ttl_s} s"
    made = audit.event("enrol_tokens_made", context, caller, detail=detail)
    await context.store.add_tokens(site, kept, now_ms=now_ms, events=[made])
    call_of(request).site = site
    return bodies.TokensReply(tokens=tokens, expires_ms=expires_ms)


@router.post("/devices/{device_id}/rotate", name="ask-rotation")
async def ask_rotation(
    site: Site, device_id: DeviceId, request: Request, caller: CallerOf, context: ContextOf
) -> bodies.Done:
    """Have the device fetch a new secret, as its next heartbeat or status tells it."""

    async def gather(_: SiteOutline, batch: Batch) -> None:
        held = await _record(context.store, site, device_id, context.now_ms())
        if held.value is None:
            raise unknown_device(device_id)
        batch.expect(keys.DEVICES, device_id, held.raw)
        batch.put(keys.DEVICES, device_id, replace(held.value, rotate=True))

    def decide(view: SiteOutline) -> Decision:
        asked = audit.event("rotation_asked", context, caller, device_id=device_id)
        return Decision(view.site, events=(asked,))

    await outlined(request, site, decide, gather)
    return bodies.Done()


@router.delete("/devices/{device_id}", name="revoke")
async def revoke(
    site: Site, device_id: DeviceId, request: Request, caller: CallerOf, context: ContextOf
) -> bodies.RevokedBody:
    """Revoke a device: its secret is good no more, and its session goes on without it.

    The others get a new secret of the session in a new term, so that nothing the device knows
    is of use on the LAN. The session of a device that was alone in it ends.
    """
    session_secret = secrets.token_hex(SECRET_BYTES)
    was_in = ""

    async def gather(_: SiteView, batch: Batch) -> None:
        held = await _record(context.store, site, device_id, context.now_ms())
        batch.expect(keys.DEVICES, device_id, held.raw)
        for row in _OF_DEVICE:
            batch.drop(row, [device_id])
        batch.drop(keys.QUEUE, None, part=device_id)
        if held.raw is None:
            raise unknown_device(device_id)

    def decide(view: SiteView) -> Decision:
        nonlocal was_in
        record = view.site.session_of(device_id)
        was_in = "" if record is None else record.spec.session_id
        return control_session.remove_device(
            view.site,
            device_id,
            enrolled(view),
            secret_hex=session_secret,
            who=caller.name,
            now_ms=context.now_ms(),
        )

    await settled(request, site, decide, gather)
    return bodies.RevokedBody(device_id=device_id, session_id=was_in)


async def _record(
    store: DocumentStore, site: str, device_id: str, now_ms: int
) -> Kept[DeviceRecord]:
    """The device's record with its bytes, for a guard."""
    view = await store.device_view(site, device_id, now_ms=now_ms, window=0)
    return view.record
