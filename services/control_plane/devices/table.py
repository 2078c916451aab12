"""The table of what devices call: name, path, what is asked, what is answered, who decides.

Routes, decoding and the schema (`services.control_plane.openapi`) are made of it.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.control_plane.calls import call_of
from services.control_plane.context import Context, context_of
from services.control_plane.devices import decisions
from services.control_plane.devices.bodies import (
    MAX_NUMBER,
    AckReply,
    AckRequest,
    Asked,
    CommandsReply,
    EnrolReply,
    EnrolRequest,
    HeartbeatRequest,
    Hint,
    Reply,
    RotateReply,
    RotateRequest,
    StatusRequest,
    Telemetry,
    TelemetryReply,
)
from services.control_plane.devices.decoding import decoded
from services.control_plane.devices.enrolment import enrol
from services.control_plane.devices.serve import CREATED, OK, Decide, reply_of, serve
from services.control_plane.errors import ApiError
from services.control_plane.gate import throttle
from services.control_plane.gate.client import client_address

UNAUTHORIZED = 401
_AFTER = re.compile(r"[0-9]{1,16}")

# Makes of a request what it asks for. `ApiError` says what does not fit.
Read = Callable[[Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DeviceCall:
    """One row. ``decide`` is None for the one call that is no device's yet: enrolment."""

    name: str
    method: str
    path: str
    summary: str
    read: Read
    asked: type[Asked] | None
    reply: type[Reply]
    decide: Decide | None
    errors: tuple[int, ...] = (400, 401, 413, 422, 429, 503)
    status: int = OK
    query: tuple[str, ...] = ()


def body(kind: type[Asked]) -> Read:
    """Reads the body as that type."""

    async def read(request: Request) -> Any:
        return decoded(await request.body(), kind)

    return read


async def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not _AFTER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise ApiError(422, "bad_field", "after: use the highest seq had, a whole number")
    return int(text)


async def _ack(request: Request) -> tuple[str, AckRequest]:
    asked = decoded(await request.body(), AckRequest)
    return str(request.path_params["command_id"]), asked


TABLE: tuple[DeviceCall, ...] = (
    DeviceCall(
        "enroll", "POST", "/v1/device/enroll",
        "Join a site with a one-time token; the reply holds the device's own secret, once.",
        body(EnrolRequest), EnrolRequest, EnrolReply, None,
        (400, 401, 409, 413, 422, 429, 503), CREATED,
    ),
    DeviceCall(
        "heartbeat", "POST", "/v1/device/heartbeat",
        "*Device heartbeat*: I am here, at this place of the LAN, and hold this session.",
        body(HeartbeatRequest), HeartbeatRequest, Hint, decisions.heartbeat,
    ),
    DeviceCall(
        "status", "POST", "/v1/sync/status/runtime",
        "*Sync status runtime*: I play so, in this mode, with this drift.",
        body(StatusRequest), StatusRequest, Hint, decisions.status,
    ),
    DeviceCall(
        "commands", "GET", "/v1/device/commands",
        "*Device commands*, poll: what is due, in order, until acknowledged.",
        _after, None, CommandsReply, decisions.commands, query=("after",),
    ),
    DeviceCall(
        "ack", "POST", "/v1/device/commands/{command_id}/ack",
        "*Device commands*, ack: how a command ended; saying it twice is no error.",
        _ack, AckRequest, AckReply, decisions.ack, (400, 401, 404, 413, 422, 429, 503),
    ),
    DeviceCall(
        "rotate", "POST", "/v1/device/rotate",
        "Another secret; the old one is good until the new one is used.",
        body(RotateRequest), RotateRequest, RotateReply, decisions.rotate,
    ),
    DeviceCall(
        "telemetry", "POST", "/v1/device/telemetry",
        "Summaries and events, as many as have queued up; delivering them twice is no error.",
        body(Telemetry), Telemetry, TelemetryReply, decisions.telemetry,
    ),
)  # fmt: skip


def routes() -> list[Route]:
    """The routes of all device calls."""
    return [_route(row) for row in TABLE]


def _route(row: DeviceCall) -> Route:
    async def endpoint(request: Request) -> Response:
        call_of(request).route = row.name
        context = context_of(request)
        try:
            return await _answer(row, request, context)
        except ApiError as error:
            if error.status == UNAUTHORIZED:
                await _slow_down(request, context, error)
            raise

    methods = [row.method]
    return Route(row.path, endpoint, methods=methods, name=row.name, include_in_schema=False)


async def _answer(row: DeviceCall, request: Request, context: Context) -> Response:
    if row.decide is None:
        asked = await row.read(request)
        return reply_of(await enrol(asked, context, call_of(request)), CREATED)
    try:
        asked = await row.read(request)
    except ApiError as unfit:
        return await serve(request, context, decisions.refusal(unfit), None)
    return await serve(request, context, row.decide, asked)


async def _slow_down(request: Request, context: Context, error: ApiError) -> None:
    """Tell an address that shows wrong secrets again and again when to come back.

    It stays a 401: of devices behind one address, one that was revoked must still learn that.
    """
    address = client_address(request.scope, context.settings)
    try:
        await throttle.count(context, throttle.ADDRESS, address)
    except ApiError as limit:
        error.headers |= limit.headers
