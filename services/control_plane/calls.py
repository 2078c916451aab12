"""One call: whose it is, what it cost, how it is counted; and its size limit.

A call is counted where it belongs: a device's call together with all that it writes
(`services.control_plane.devices.serve`), any other by the middleware when its answer begins.
"""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.control_plane.errors import AWAY, body_of, failed
from services.control_plane.gate.roles import DEVICE_ROUTES
from services.control_plane.metering import Meter, Tails, metered
from unisono.state import DocumentStore, StateError, keys
from unisono.state.documents import NO_SITE, Batch

MAX_BODY_BYTES = 256 * 1024
_CALL = "unisono.call"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Call:
    """What is known of a request on its way: its site, its cost, whether it is counted yet.

    ``route`` is the name that it is counted under; "": that of the web framework's route.
    ``booked_ns`` is how much of its CPU time stands in the counters, ``tail_ns`` what an earlier
    call of the same route had used after it was counted (None: not asked for yet).
    """

    site: str = NO_SITE
    route: str = ""
    booked_ns: int = 0
    tail_ns: int | None = None
    meter: Meter = field(default_factory=Meter)
    counted: bool = False


def call_of(request: Request) -> Call:
    """The call that belongs to a request."""
    call: Call = request.scope[_CALL]
    return call


def count_call(batch: Batch, call: Call, tails: Tails, status: int, now_ms: int) -> None:
    """Count one call, by the batch's site: answered so, at that cost in CPU time.

    What it uses from here on, to store all this and to answer, is counted with the next call of the
    same route (`Tails`).
    Of a day the calls of devices are told from everybody else's: how often somebody looked says
    nothing of what the devices cost.
    """
    if call.tail_ns is None:
        call.tail_ns = tails.take(call.route)
    call.booked_ns = call.meter.used_ns()
    used_us = (call.booked_ns + call.tail_ns) // 1000
    route = call.route
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    date = f"{now:%Y%m%d}"
    batch.add(keys.REQUESTS, f"{route} {status}")
    batch.add(keys.CPU, route, used_us)
    kind = "calls" if route in DEVICE_ROUTES else "looks"
    batch.add(keys.DAY, f"{kind} {now.hour:02}", part=date)
    batch.add(keys.DAY, "cpu_us", used_us, part=date)


class Accounting:
    """Meters every call, and counts those that nobody has counted yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call()
        scope[_CALL] = call
        scope[AWAY] = [False]  # a list: what is inside the app may see a copy of the scope
        await metered(self._serve(call, scope, receive, send), call.meter)
        if call.counted:
            _context(scope).tails.leave(call.route, call.meter.used_ns() - call.booked_ns)

    async def _serve(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def finish(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start" and not call.counted:
                call.counted = True
                try:
                    await _count(scope, call, message["status"])
                except StateError as error:
                    # The work is done, and must not look as if it had failed for want of a count.
                    _log.warning("a call could not be counted: %s", error)
            await send(message)

        try:
            await self._app(scope, receive, finish)
        except Exception as error:  # a fault of ours: it is told, counted, and ends this call only
            _log.error("%s %s failed: %r", scope["method"], scope["path"], error)
            if begun:
                raise
            await failed()(scope, receive, finish)


async def _count(scope: Scope, call: Call, status: int) -> None:
    if scope[AWAY][0]:  # to ask the store again would only take long
        return
    context = _context(scope)
    store: DocumentStore = context.store
    batch = store.batch(call.site)
    call.route = call.route or _route(scope)
    count_call(batch, call, context.tails, status, context.now_ms())
    await store.settle(batch)


def _context(scope: Scope) -> Any:
    return scope["app"].state.context


class SizeLimit:
    """Refuses bodies above `MAX_BODY_BYTES`, whether they say their size or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > MAX_BODY_BYTES:
            await _too_large(scope, receive, send)
            return
        size = 0

        async def measured() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, measured, send)


_TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES // 1024} KiB"


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(body_of("too_large", _TOO_LARGE), 413)(scope, receive, send)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "name", None) or "unknown"
