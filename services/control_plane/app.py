"""The ASGI app: stateless over one store, any number of instances."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import PlainTextResponse

from services.control_plane import errors, metrics, openapi, pages
from services.control_plane.calls import Accounting, SizeLimit, call_of
from services.control_plane.context import Context
from services.control_plane.devices import table
from services.control_plane.devices.enrolment import MIN_TOKEN_CHARS, tokens_of
from services.control_plane.gate.access import let_in_metrics
from services.control_plane.gate.headers import SecurityHeaders
from services.control_plane.gate.tokens import NAME
from services.control_plane.operators import bodies as operator_bodies
from services.control_plane.operators.api import routers
from services.control_plane.operators.decide import unknown_site
from services.control_plane.settings import ControlSettings
from services.control_plane.side_by_side import AT_ONCE, side_by_side
from unisono.core.errors import UserError
from unisono.state import DocumentStore, RedisStore
from unisono.state.documents import NO_SITE

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Site = Annotated[
    str, Query(pattern=f"^(-|{NAME.pattern})$", description="Of this site alone; `-`: of none")
]

_DESCRIPTION = """What plays, who leads and when it starts, for every site.

Devices authenticate with `Authorization: Bearer DEVICE_ID.SECRET`; operators and administrators
log in, or send `Authorization: Bearer TOKEN`. Every error is `{"error": {"code", "message"}}`."""


def wall_ms() -> int:
    """UTC since the epoch."""
    return time.time_ns() // 1_000_000


def open_store(settings: ControlSettings) -> DocumentStore:
    """The store that the settings name; it connects when first used."""
    server = RedisStore(
        settings.redis_url,
        settings.redis_timeout_s,
        setting="UNISONO_CONTROL_REDIS_URL",
        cluster=settings.redis_cluster,
    )
    return DocumentStore(server, settings.key_prefix)


def create_app(
    settings: ControlSettings,
    store: DocumentStore | None = None,
    now_ms: Callable[[], int] = wall_ms,
) -> FastAPI:
    """The app over ``store`` (default: what ``settings.redis_url`` names).

    Raises `UserError` when the settings cannot be used. It closes the store at its shutdown.
    """
    check(settings)
    store = store or open_store(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await store.close()

    app = FastAPI(
        title="Unísono control plane",
        version=version("unisono"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts from elsewhere, which our policy forbids
        redoc_url=None,
        # A redirect to the other spelling would lead where the caller's Host says, in clear text.
        redirect_slashes=False,
        # Tokens need no protection by it, and a request by cookie must carry the CSRF token.
        strict_content_type=False,
    )
    app.state.context = Context(settings, store, now_ms)
    errors.install(app)
    app.router.routes.extend(table.routes())
    for router in routers:
        app.include_router(router)
    _add_public(app)
    pages.install(app)
    openapi.install(app)
    # The last one added is the outermost.
    app.add_middleware(SizeLimit)
    app.add_middleware(Accounting)
    app.add_middleware(SecurityHeaders, settings=settings)
    return app


def check(settings: ControlSettings) -> None:
    """`UserError` when the settings cannot be used."""
    for name in ("admin_token", "operator_token", "metrics_token"):
        token = str(getattr(settings, name))
        if (name == "admin_token" or token) and len(token) < MIN_TOKEN_CHARS:
            raise UserError(
                f"UNISONO_CONTROL_{name.upper()} is {'too short' if token else 'not set'}: "
                f"use a secret of at least {MIN_TOKEN_CHARS} characters"
            )
    if "{" in settings.key_prefix or "}" in settings.key_prefix:
        raise UserError(
            f"UNISONO_CONTROL_KEY_PREFIX={settings.key_prefix}: use no braces: what stands in them "
            "says to a cluster which node has the key"
        )
    tokens_of(settings)


def _add_public(app: FastAPI) -> None:
    failures: dict[int | str, dict[str, Any]] = {
        503: {"model": operator_bodies.ErrorBody, "description": "Refused"}
    }

    @app.get("/healthz", name="healthz", tags=["public"], responses=failures)
    async def healthz(request: Request) -> operator_bodies.HealthBody:
        """Whether the control plane and its store answer."""
        context: Context = request.app.state.context
        await context.store.ping()
        return operator_bodies.HealthBody(status="ok", version=version("unisono"))

    @app.get(
        "/metrics",
        name="metrics",
        tags=["public"],
        response_class=PlainTextResponse,
        responses={status: operator_bodies.ERRORS[status] for status in (401, 404, 422, 429, 503)},
    )
    async def show_metrics(request: Request, site: Site | None = None) -> PlainTextResponse:
        """Counters and gauges as Prometheus text: of all sites, or of one alone."""
        await let_in_metrics(request)
        context: Context = request.app.state.context
        sites = [*await context.store.sites(), NO_SITE]
        if site is not None:
            if site not in sites:
                raise unknown_site(site)
            sites = [site]
        page = metrics.Page()
        for at in range(0, len(sites), AT_ONCE):
            names = sites[at : at + AT_ONCE]
            found = await side_by_side(context.store.site_counters, names, call_of(request).meter)
            for name, counters in zip(names, found, strict=True):
                page.add(name, counters, context.now_ms())
                await asyncio.sleep(0)  # others are served between two sites
        return PlainTextResponse(page.text(), media_type=METRICS_TYPE)
