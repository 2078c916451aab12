"""The control plane as a function: the platform imports ``app`` and serves it (Vercel).

A setting that is missing or unfit must not end in a traceback that nobody reads: the app that is
built then answers every call 503 with one sentence, which the log has too.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.control_plane.app import create_app, open_store, wall_ms
from services.control_plane.devices.enrolment import seed_tokens
from services.control_plane.settings import PREFIX, load_control_settings
from unisono.core.errors import UserError
from unisono.state import StateError

_REDIS_URL = PREFIX + "REDIS_URL"
_ADMIN_TOKEN = PREFIX + "ADMIN_TOKEN"
_METRICS_TOKEN = PREFIX + "METRICS_TOKEN"
_CLIENT_HEADER = PREFIX + "CLIENT_ADDRESS_HEADER"
# What Redis services of the platform's marketplace name the address of their database.
REDIS_URL_NAMES = ("REDIS_URL", "KV_URL")

_log = logging.getLogger(__name__)


class Misconfigured:
    """Stands in for the app: answers every call with what is wrong with the settings."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            return
        body = {"error": {"code": "misconfigured", "message": self.reason}}
        await JSONResponse(body, 503, {"Cache-Control": "no-store"})(scope, receive, send)


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the settings, with what is different on the platform; `UserError`.

    There is no Redis on the machine itself. Whoever calls comes through the platform's proxy,
    which overwrites the header with the client's address and says that it was over TLS: nobody
    can make them up. And the world can reach ``/metrics``: it never stays open, the operator's and
    the administrator's tokens open it (`let_in_metrics`), and one of its own if there is one.
    """
    values = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    address = next((environment[n] for n in REDIS_URL_NAMES if environment.get(n)), "")
    if not values.get(_REDIS_URL):
        if not address:
            raise UserError(f"{_REDIS_URL} is not set: give it the rediss:// URL of the database")
        values[_REDIS_URL] = address
    # What says that this is Vercel (VERCEL=1) is there only if the project exposes it: not asked.
    values[_CLIENT_HEADER] = values.get(_CLIENT_HEADER) or "x-forwarded-for"
    values[_METRICS_TOKEN] = values.get(_METRICS_TOKEN) or values.get(_ADMIN_TOKEN, "")
    return values


def build(environment: Mapping[str, str]) -> ASGIApp:
    """The app that ``environment`` asks for, or one that says what is wrong with it."""
    try:
        settings = load_control_settings(settings_of(environment))
        store = open_store(settings)
        app = create_app(settings, store)
    except UserError as error:
        _log.error("%s", error)
        return Misconfigured(str(error))
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(of: Any) -> AsyncIterator[Any]:
        try:
            await seed_tokens(settings, store, wall_ms())
        except StateError as error:  # the calls will say so too, until Redis is back
            _log.error("%s", error)
        async with inner(of) as state:
            yield state

    app.router.lifespan_context = lifespan
    return app


app = build(os.environ)
