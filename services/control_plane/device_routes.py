"""What devices call: enrol, device heartbeat, sync status runtime, device commands."""

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query

from services.control_plane import models
from services.control_plane.context import Context, DeviceCall, context_of, device_call
from services.control_plane.decide import changed, settle
from services.control_plane.errors import ApiError
from services.control_plane.known import as_said, in_lan, known_device, known_devices
from services.control_plane.tokens import digest_of, new_token, site_of
from unisono.core import control_session, leadership
from unisono.core.commands import pending
from unisono.core.reissue import joined
from unisono.core.session import Member
from unisono.core.site_document import (
    Decision,
    Held,
    KnownDevice,
    SessionState,
    SiteDocument,
)
from unisono.state import keys
from unisono.state.documents import DeviceView
from unisono.state.records import (
    Ack,
    DeviceRecord,
    DriftFigures,
    HeartbeatReport,
    LanFigures,
    RuntimeReport,
)

# Around its start a session changes fast: devices should not sleep through it.
STARTING_POLL_S = 1.0

router = APIRouter(
    prefix="/v1",
    tags=["devices"],
    responses={code: {"model": models.ErrorBody} for code in (400, 401, 422, 503)},
)
Device = Annotated[DeviceCall, Depends(device_call)]


@router.post("/device/enroll", name="enroll", status_code=201)
async def enrol(
    asked: models.EnrolRequest, context: Annotated[Context, Depends(context_of)]
) -> models.EnrolReply:
    """Join a site with a one-time token; the reply holds the device's own secret, once."""
    refused = ApiError(401, "bad_token", "the enrolment token is unknown, spent or too old")
    site, digest, now_ms = site_of(asked.token), digest_of(asked.token), context.now_ms()
    token = await context.store.token(site, digest) if site else None
    if site is None or token is None or token.spent_by:
        raise refused
    if token.expires_ms is not None and token.expires_ms <= now_ms:
        raise refused
    device_id = asked.device_id or f"dev-{secrets.token_hex(4)}"
    secret = new_token(site)
    record = DeviceRecord(device_id, digest_of(secret), now_ms)
    if await context.store.enrol(site, digest, token, record):
        return models.EnrolReply(device_id=device_id, site=site, secret=secret)
    if (await context.store.device_view(site, device_id)).record is not None:
        raise ApiError(
            409, "device_exists", f"{device_id} is enrolled already: wish for another device_id"
        )
    raise refused


@router.post("/device/heartbeat", name="heartbeat")
async def heartbeat(asked: models.HeartbeatRequest, device: Device) -> models.SessionHint:
    """*Device heartbeat*: I am here, at this place of the LAN, and hold this session."""
    try:
        address = str(ipaddress.IPv4Address(asked.address))
    except ValueError:
        raise ApiError(422, "bad_field", "address: use a numeric IPv4 address") from None
    place = Member(device.device_id, address, asked.beacon_port, asked.probe_port)
    held = Held(asked.session_id, asked.term, asked.revision)
    now_ms, name = device.now_ms, device.device_id
    report = HeartbeatReport(at_ms=now_ms, **(asked.model_dump() | {"address": address}))
    caller = as_said(name, report, now_ms)

    def decide(view: DeviceView) -> Decision:
        made = _leases(view, caller, now_ms)
        made = joined(made, control_session.move_member(made.site, place, now_ms=now_ms))
        made = joined(made, leadership.note_boot(made.site, name, asked.boot_id, now_ms=now_ms))
        told = control_session.reconcile(made.site, name, held, now_ms=now_ms)
        return joined(made, told)

    site = await _settle(device, decide)
    device.call.batch.put(keys.REPORTS, device.device_id, report)
    return _hint(device, site)


@router.post("/sync/status/runtime", name="status")
async def status(asked: models.StatusRequest, device: Device) -> models.SessionHint:
    """*Sync status runtime*: I play so, in this mode, with this drift."""
    now_ms = device.now_ms

    def decide(view: DeviceView) -> Decision:
        caller = replace(
            known_device(view, device.device_id),
            seen_ms=now_ms,
            in_lan=in_lan(asked.mode, asked.session_id, asked.term),
            said_ms=now_ms,
        )
        return _leases(view, caller, now_ms)

    site = await _settle(device, decide)
    fields = asked.model_dump()
    drift, lan = DriftFigures(**fields.pop("drift_ms")), fields.pop("lan")
    figures = None if lan is None else LanFigures(**lan)
    report = RuntimeReport(at_ms=now_ms, drift_ms=drift, lan=figures, **fields)
    device.call.batch.put(keys.STATUSES, device.device_id, report)
    return _hint(device, site)


@router.get("/device/commands", name="commands")
async def commands(
    device: Device,
    after: Annotated[int, Query(ge=0, le=models.MAX_NUMBER, description="Highest seq had")] = 0,
) -> models.CommandsReply:
    """*Device commands*, poll: what is due, in order, until acknowledged."""
    due = pending(device.view.queue, after=after, now_ms=device.now_ms)
    forget = [command.command_id for command in due.forget]
    device.call.batch.drop(keys.QUEUE, forget, device.device_id)
    _note_seen(device)
    bodies = [models.CommandBody(**_plain(command)) for command in due.deliver]
    return models.CommandsReply(server_time_ms=device.now_ms, commands=bodies)


@router.post("/device/commands/{command_id}/ack", name="ack")
async def ack(command_id: str, asked: models.AckRequest, device: Device) -> models.AckReply:
    """*Device commands*, ack: how a command ended; saying it twice is no error."""
    known = device.view.ack
    if known is not None and known.command_id == command_id:
        return models.AckReply(command_id=command_id, outcome=known.outcome)
    if all(command.command_id != command_id for command in device.view.queue):
        raise ApiError(404, "unknown_command", "no such command waits: it is superseded or old")
    batch = device.call.batch
    # Only the last one is kept: a command that was superseded needs no answer twice.
    kept = Ack(command_id, asked.outcome, asked.detail, device.now_ms)
    batch.put(keys.ACKS, device.device_id, kept)
    batch.drop(keys.QUEUE, [command_id], device.device_id)
    batch.count(keys.EVENTS, f"command_{asked.outcome}")
    _note_seen(device)
    return models.AckReply(command_id=command_id, outcome=asked.outcome)


def _leases(view: DeviceView, caller: KnownDevice, now_ms: int) -> Decision:
    """Leases are judged whenever anybody calls; the caller itself is alive."""
    return leadership.renew_leases(view.site, known_devices(view), caller, now_ms=now_ms)


async def _settle(device: DeviceCall, decide: Callable[[DeviceView], Decision]) -> SiteDocument:
    """Commit what the call changes, queue what it repeats; the document as it is then."""
    store = device.context.store
    view, decision = await settle(
        store,
        device.site,
        lambda: store.device_view(device.site, device.device_id),
        decide,
        device.view,
    )
    if not changed(view, decision):
        device.call.batch.enqueue(decision.commands)
    _note_seen(device)
    return decision.site


def _note_seen(device: DeviceCall) -> None:
    device.call.batch.put(keys.SEEN, device.device_id, device.now_ms)


def _hint(device: DeviceCall, site: SiteDocument) -> models.SessionHint:
    record = site.session_of(device.device_id)
    if record is None:
        return models.SessionHint(server_time_ms=device.now_ms, revision=site.revision)
    state = control_session.state_at(record, device.now_ms)
    return models.SessionHint(
        server_time_ms=device.now_ms,
        session_id=record.spec.session_id,
        state=state.value,
        term=record.spec.term,
        revision=record.revision,
        next_poll_s=STARTING_POLL_S if state is SessionState.PREPARING else None,
    )


def _plain(document: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain
