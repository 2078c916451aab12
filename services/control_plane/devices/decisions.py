"""What devices call, each as a pure function: (what is known, what is asked, now) -> answer.

An answer holds the reply, the decision on the site's document, and what else to write. `serve`
makes all of it durable in one atomic step before the reply goes out, or asks again when another
instance was faster; so nothing here may have an effect of its own.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import replace

import msgspec

from services.control_plane.devices.answer import Answer, Caller
from services.control_plane.devices.bodies import (
    AckReply,
    AckRequest,
    CommandBody,
    CommandsReply,
    HeartbeatRequest,
    Hint,
    RotateReply,
    RotateRequest,
    StatusRequest,
    Telemetry,
    TelemetryReply,
)
from services.control_plane.devices.known import as_said, hearing, known_devices, own_device
from services.control_plane.devices.telemetry import take_over
from services.control_plane.errors import ApiError
from services.control_plane.gate.tokens import digest_of
from unisono.core import control_session, leadership
from unisono.core.commands import Command, filled, pending
from unisono.core.reissue import joined, running_all
from unisono.core.session import Member
from unisono.core.session_state import Progress, SessionState
from unisono.core.site_document import Decision, Held, KnownDevice, SiteDocument, SiteEvent
from unisono.state import keys
from unisono.state.documents import Batch, DeviceView
from unisono.state.records import (
    Ack,
    DriftFigures,
    DriftPoint,
    HeartbeatReport,
    LanFigures,
    RuntimeReport,
)
from unisono.wire.seal import command_key, sign

# Around its start and its end a session changes fast: devices should not sleep through it.
BUSY_POLL_S = 1.0
_BUSY = (SessionState.PREPARING, SessionState.WARMUP)
# Who does not hear the beat has the others looked at this soon: at once for an audience, and no
# more than a few times a second however many devices say it in an outage.
LOOK_SOON_MS = 250
# As far as the clocks of two instances may be apart; a device that called later than that has
# called by a clock that was put back since.
CLOCKS_APART_MS = 5000


def refusal(error: ApiError) -> Callable[[DeviceView, None, Caller, Batch], Answer]:
    """Decides nothing: what does not fit is said to those who may call, and to nobody else."""

    def refuse(_view: DeviceView, _asked: None, _caller: Caller, _batch: Batch) -> Answer:
        raise error

    return refuse


def heartbeat(view: DeviceView, asked: HeartbeatRequest, caller: Caller, batch: Batch) -> Answer:
    """*Device heartbeat*: I am here, at this place of the LAN, and hold this session."""
    name, now_ms = caller.device_id, caller.now_ms
    address = _unicast(asked.address)
    report = HeartbeatReport(at_ms=now_ms, **(msgspec.structs.asdict(asked) | {"address": address}))
    device = as_said(view.site, name, report, view.status, now_ms)
    place = Member(name, address, asked.beacon_port, asked.probe_port)
    held = Held(asked.session_id, asked.term, asked.revision)

    made = _looked(view, device, batch, now_ms)
    made = joined(made, control_session.move_member(made.site, place, now_ms=now_ms))
    made = joined(made, leadership.note_boot(made.site, name, asked.boot_id, now_ms=now_ms))
    made = joined(made, control_session.reconcile(made.site, name, held, now_ms=now_ms))
    batch.put(keys.REPORTS, name, report)
    return Answer(_hint(view, made.site, caller, asked.flags_version), made)


def _unicast(text: str) -> str:
    """The address as the other members will send to; `ApiError` when no device can have it."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ApiError(422, "bad_field", "address: use a numeric IPv4 address") from None
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        raise ApiError(422, "bad_field", f"address: {address} is no address of a device")
    return str(address)


def status(view: DeviceView, asked: StatusRequest, caller: Caller, batch: Batch) -> Answer:
    """*Sync status runtime*: I play so, in this mode, with this drift."""
    name, now_ms = caller.device_id, caller.now_ms
    told = hearing(view.site, name, asked)
    device = replace(own_device(view, name), seen_ms=now_ms, hearing=told, said_ms=now_ms)
    made = _looked(view, device, batch, now_ms)

    fields = msgspec.structs.asdict(asked)
    telemetry, lan = fields.pop("telemetry"), fields.pop("lan")
    drift = DriftFigures(**msgspec.structs.asdict(fields.pop("drift_ms")))
    figures = None if lan is None else LanFigures(**msgspec.structs.asdict(lan))
    batch.put(
        keys.STATUSES, name, RuntimeReport(at_ms=now_ms, drift_ms=drift, lan=figures, **fields)
    )
    if drift.count and drift.mean is not None:
        point = DriftPoint(drift.mean, drift.max or abs(drift.mean), asked.mode, asked.term)
        batch.append(keys.DRIFT_LOG, now_ms, point, part=name)
    hint = _hint(view, made.site, caller, None)
    if telemetry is None:
        return Answer(hint, made)
    delivered, events = take_over(view, telemetry, caller, batch)
    hint = msgspec.structs.replace(hint, delivered_seq=delivered)
    return Answer(hint, replace(made, events=made.events + events))


def commands(view: DeviceView, asked: int, caller: Caller, batch: Batch) -> Answer:
    """*Device commands*, poll: what is due above the seq ``asked``, until acknowledged."""
    name, now_ms = caller.device_id, caller.now_ms
    made = _looked(view, replace(own_device(view, name), seen_ms=now_ms), batch, now_ms)
    due = pending(view.queue, after=asked, now_ms=now_ms)
    found = [filled(command, made.site, name) for command in due.deliver]
    record = view.record.value
    key = command_key(record.command_key if record else "")
    bodies = [_signed(command, name, key) for command in found if command is not None]
    batch.drop(keys.QUEUE, [command.command_id for command in due.forget], part=name)
    return Answer(CommandsReply(server_time_ms=now_ms, commands=bodies), made)


def ack(view: DeviceView, asked: tuple[str, AckRequest], caller: Caller, batch: Batch) -> Answer:
    """*Device commands*, ack: how a command ended; saying it twice is no error."""
    command_id, told = asked
    name, known = caller.device_id, view.ack.value
    again = known is not None and known.command_id == command_id
    command = next((c for c in view.queue if c.command_id == command_id), None)
    if command is None:
        if known is None or not again:
            raise ApiError(404, "unknown_command", "no such command waits: it is superseded or old")
        reply = AckReply(command_id=command_id, outcome=known.outcome)
        return Answer(reply, Decision(view.site))
    # Only the last one is kept: a command that was superseded needs no answer twice. The guard
    # makes sure that of two acks at the same moment one is counted.
    batch.expect(keys.ACKS, name, view.ack.raw)
    batch.put(keys.ACKS, name, Ack(command_id, told.outcome, told.detail, caller.now_ms))
    batch.drop(keys.QUEUE, [command_id], part=name)
    reply = AckReply(command_id=command_id, outcome=told.outcome)
    before = known.outcome if known is not None and again else ""
    if before == told.outcome:  # it was given out anew, and answered as before
        return Answer(reply, Decision(view.site))
    progress = dict(view.progress)
    if view.site.session(command.session_id) is not None:
        progress[command.session_id] = _answered(view, command, told.outcome, before, batch)
    made = control_session.settle_due(view.site, progress, now_ms=caller.now_ms)
    event = SiteEvent(
        kind=f"command_{told.outcome}",
        at_ms=caller.now_ms,
        session_id=command.session_id,
        term=command.term,
        device_id=name,
        detail=f"{command.kind.value} {told.detail}".strip(),
    )
    return Answer(reply, replace(made, events=(*made.events, event)))


def rotate(view: DeviceView, _asked: RotateRequest, caller: Caller, batch: Batch) -> Answer:
    """Another secret for the device; both are good until it uses the new one."""
    record = view.record.value
    if record is None:
        raise AssertionError("a device that was let in is enrolled")
    kept = replace(
        record,
        secret_sha256=caller.secret_sha256,  # it may have been the next one until this call
        next_sha256=digest_of(caller.fresh_secret),
    )
    batch.put(keys.DEVICES, caller.device_id, kept)
    return Answer(RotateReply(secret=caller.fresh_secret), Decision(view.site))


def telemetry(view: DeviceView, asked: Telemetry, caller: Caller, batch: Batch) -> Answer:
    """Summaries and events, as many as have queued up."""
    delivered, events = take_over(view, asked, caller, batch)
    reply = TelemetryReply(queue=asked.queue, delivered_seq=delivered)
    return Answer(reply, Decision(view.site, events=events))


def _looked(view: DeviceView, device: KnownDevice, batch: Batch, now_ms: int) -> Decision:
    """What is due at this site, judged whenever anybody calls, since no clock ticks here."""
    made = control_session.settle_due(view.site, view.progress, now_ms=now_ms)
    devices = None
    if view.others is not None:
        devices = known_devices(view)
        moved = leadership.renew_leases(made.site, devices, device, now_ms=now_ms)
        made = joined(made, moved)
    until = leadership.watch_until(made.site, devices, device, now_ms=now_ms)
    running = {record.spec.session_id for record in running_all(made.site)}
    was_put_back = view.seen_ms is not None and view.seen_ms > now_ms + CLOCKS_APART_MS
    for session_id in running:
        if session_id in until:
            batch.put(keys.LEADS, session_id, until[session_id])
        elif _is_unheard(device, session_id):
            soon_ms = min(view.leads.get(session_id, 0), now_ms + LOOK_SOON_MS)
            batch.put(keys.LEADS, session_id, soon_ms)
        elif session_id not in view.leads or was_put_back:
            batch.put(keys.LEADS, session_id, 0)  # nobody knows: the next call looks
    batch.drop(keys.LEADS, [name for name in view.leads if name not in running])
    return made


def _is_unheard(device: KnownDevice, session_id: str) -> bool:
    said = device.hearing
    return said is not None and said.session_id == session_id and not said.hears


def _hint(view: DeviceView, site: SiteDocument, caller: Caller, flags_version: int | None) -> Hint:
    """Where the device belongs; ``flags_version`` is what it said that it runs (None: nothing)."""
    name, flags = caller.device_id, site.flags
    record = view.record.value
    # Whoever calls with the next secret has rotated by that.
    rotates = record is not None and record.rotate and record.secret_sha256 == caller.secret_sha256
    hint = Hint(server_time_ms=caller.now_ms, flags_version=flags.version, rotate=rotates)
    session = site.session_of(name)
    if session is None:
        behind = flags_version is not None and flags_version != flags.version
        return msgspec.structs.replace(
            hint, revision=site.revision, flags=flags.of(name) if behind else None
        )
    progress = view.progress.get(session.spec.session_id, Progress())
    state = control_session.state_of(session, progress, caller.now_ms)
    return msgspec.structs.replace(
        hint,
        session_id=session.spec.session_id,
        state=state.value,
        term=session.spec.term,
        revision=session.revision,
        next_poll_s=BUSY_POLL_S if state in _BUSY else None,
    )


def _signed(command: Command, device_id: str, key: bytes) -> CommandBody:
    plain = msgspec.to_builtins(command) | {"device_id": device_id}
    return CommandBody(**plain, signature=sign(plain, key))


def _answered(
    view: DeviceView, command: Command, outcome: str, before: str, batch: Batch
) -> Progress:
    """Count a device's answer in the progress of its session; ``before`` is what it replaces."""
    session_id = command.session_id
    progress = view.progress.get(session_id, Progress())
    done, failed = (int(outcome == name) - int(before == name) for name in ("done", "failed"))
    for name, by in (("done", done), ("failed", failed)):
        if by:
            batch.add(keys.PROGRESS, f"{session_id} {command.seq} {name}", by)
    ever_done = int(outcome == "done")
    if ever_done:
        batch.add(keys.PROGRESS, f"{session_id} done")
    record = view.site.session(session_id)
    if record is None or record.revision != command.seq:
        done = failed = 0
    return Progress(progress.done + done, progress.failed + failed, progress.ever_done + ever_done)
