"""One call: who makes it, what it writes at its end, how it is counted; and its size limit.

The middleware holds the answer back until the call's writes, its own counter among them, are
applied in one round trip: an answer is a promise that what it says is stored.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.control_plane.errors import body_of, state_away
from unisono.state import DocumentStore, StateError, keys
from unisono.state.documents import NO_SITE, Batch

MAX_BODY_BYTES = 256 * 1024
_CALL = "unisono.call"


@dataclass(slots=True)
class Call:
    """What a request gathers on its way."""

    batch: Batch
    site: str = NO_SITE


def call_of(request: Request) -> Call:
    """The call that belongs to a request."""
    call: Call = request.scope[_CALL]
    return call


class Accounting:
    """Applies each call's writes and counts it, by site, route and status."""

    def __init__(self, app: ASGIApp, store: DocumentStore) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call(self._store.batch())
        scope[_CALL] = call
        given_up = False

        async def finish(message: Message) -> None:
            nonlocal given_up
            if given_up:
                return
            if message["type"] == "http.response.start":
                try:
                    await self._settle(scope, call, message["status"])
                except StateError:
                    if message["status"] < 400:
                        given_up = True
                        await state_away()(scope, receive, send)
                        return
            await send(message)

        await self._app(scope, receive, finish)

    async def _settle(self, scope: Scope, call: Call, status: int) -> None:
        if status == 503:  # the store is away: to ask it again would only take long
            return
        counter = self._store.batch(call.site)
        counter.count(keys.REQUESTS, f"{_route(scope)} {status}")
        if status < 400:
            counter.writes[:0] = call.batch.writes
        await self._store.apply(counter)


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
