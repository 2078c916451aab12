"""The ASGI app: stateless over one store, any number of instances."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from services.control_plane import device_routes, errors, metrics, models, operator_routes
from services.control_plane.calls import Accounting, SizeLimit
from services.control_plane.context import Context
from services.control_plane.settings import ControlSettings
from services.control_plane.tokens import digest_of, site_of
from unisono.core.errors import UserError
from unisono.state import DocumentStore, RedisStore
from unisono.state.documents import NO_SITE
from unisono.state.records import EnrolToken

MIN_TOKEN_CHARS = 16

_DESCRIPTION = """What plays, who leads and when it starts, for every site.

Devices authenticate with `Authorization: Bearer DEVICE_ID.SECRET`, operators with
`Authorization: Bearer OPERATOR_TOKEN`. Every error is `{"error": {"code", "message"}}`."""


def wall_ms() -> int:
    """UTC since the epoch."""
    return time.time_ns() // 1_000_000


def open_store(settings: ControlSettings) -> DocumentStore:
    """The store that the settings name; it connects when first used."""
    setting = "UNISONO_CONTROL_REDIS_URL"
    server = RedisStore(settings.redis_url, settings.redis_timeout_s, setting=setting)
    return DocumentStore(server, settings.key_prefix)


def create_app(
    settings: ControlSettings,
    store: DocumentStore | None = None,
    now_ms: Callable[[], int] = wall_ms,
) -> FastAPI:
    """The app over ``store`` (default: what ``settings.redis_url`` names).

    Raises `UserError` when the settings cannot be used. It closes the store at its shutdown.
    """
    _check(settings)
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
    )
    context = Context(settings, store, now_ms)
    app.state.context = context
    errors.install(app)
    app.include_router(device_routes.router)
    app.include_router(operator_routes.router)
    _add_public(app, context)
    app.add_middleware(SizeLimit)
    app.add_middleware(Accounting, store=store)
    return app


async def seed_tokens(settings: ControlSettings, store: DocumentStore) -> None:
    """Accept the enrolment tokens of the settings, but for those that were known before."""
    for token in _tokens(settings):
        site, digest = site_of(token), digest_of(token)
        if site is not None and await store.token(site, digest) is None:
            fresh = {digest: EnrolToken(expires_ms=None)}
            await store.add_tokens(site, fresh, now_ms=wall_ms())


def _add_public(app: FastAPI, context: Context) -> None:
    failures: dict[int | str, dict[str, Any]] = {503: {"model": models.ErrorBody}}

    @app.get("/healthz", name="healthz", tags=["public"], responses=failures)
    async def healthz() -> models.HealthBody:
        """Whether the control plane and its store answer."""
        await context.store.ping()
        return models.HealthBody(status="ok", version=version("unisono"))

    @app.get("/metrics", name="metrics", tags=["public"], response_class=PlainTextResponse)
    async def show_metrics() -> PlainTextResponse:
        """Counters and gauges as Prometheus text."""
        sites = await context.store.sites()
        views = {site: await context.store.site_view(site) for site in [*sites, NO_SITE]}
        text = metrics.render(views, context.now_ms())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _tokens(settings: ControlSettings) -> list[str]:
    return [token.strip() for token in settings.enroll_tokens.split(",") if token.strip()]


def _check(settings: ControlSettings) -> None:
    if len(settings.operator_token) < MIN_TOKEN_CHARS:
        raise UserError(
            "UNISONO_CONTROL_OPERATOR_TOKEN is not set or too short: "
            f"give the operators a secret of at least {MIN_TOKEN_CHARS} characters"
        )
    for token in _tokens(settings):
        if site_of(token) is None or len(token.partition(".")[2]) < MIN_TOKEN_CHARS:
            raise UserError(
                "UNISONO_CONTROL_ENROLL_TOKENS: each must read SITE.RANDOM, "
                f"with at least {MIN_TOKEN_CHARS} random characters"
            )
