"""Logging in and out, who one is, and one's own password."""

import logging
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from services.control_plane.calls import call_of
from services.control_plane.context import Context
from services.control_plane.errors import ApiError
from services.control_plane.gate import logins, passwords, throttle
from services.control_plane.gate.access import RESERVED_NAMES, Caller, CallerOf, ContextOf, Guarded
from services.control_plane.gate.client import client_address
from services.control_plane.operators import account_bodies, audit, bodies
from unisono.core.site_document import SiteEvent
from unisono.state.records import Account, AccountRole

_log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["accounts"], responses=bodies.ERRORS, route_class=Guarded)


@router.post("/login", name="login")
async def login(
    asked: account_bodies.LoginRequest, request: Request, response: Response, context: ContextOf
) -> account_bodies.MeBody:
    """Log in with a name and a password: the cookie is the login, for 12 hours."""
    _check_same_site(request)
    address = client_address(request.scope, context.settings)
    # The pair first: what one address tries does not use up what all may.
    await throttle.count(context, throttle.LOGIN_PAIR, f"{asked.name} {address}")
    await throttle.count(context, throttle.LOGIN_NAME, asked.name)
    account = await _checked(request, context, asked.name, asked.password.get_secret_value())
    if account is None:
        # The name is not logged: people type their password into the wrong field.
        _log.warning("somebody at %s failed to log in", address)
        await audit.count_failed_login(context)
        raise ApiError(401, "bad_login", "the name or the password is wrong")
    batch = context.store.batch()
    made = logins.begin(context, account, request, response, batch)
    came = SiteEvent("login", context.now_ms(), who=account.name, detail=f"from {address}")
    batch.happened(came)
    await context.store.settle(batch)
    return _me(Caller(account.name, account.role, account.sites, made.csrf))


@router.post("/logout", name="logout")
async def logout(
    request: Request, response: Response, caller: CallerOf, context: ContextOf
) -> bodies.Done:
    """End the login of this browser."""
    _need_login(caller)
    batch = context.store.batch()
    logins.end(context, caller.login, request, response, batch)
    batch.happened(audit.event("logout", context, caller))
    await context.store.settle(batch)
    return bodies.Done()


@router.get("/me", name="me")
async def me(caller: CallerOf) -> account_bodies.MeBody:
    """Who one is, and the CSRF token of the login."""
    return _me(caller)


@router.post("/me/password", name="change-password")
async def change_password(
    asked: account_bodies.PasswordRequest,
    request: Request,
    response: Response,
    caller: CallerOf,
    context: ContextOf,
) -> account_bodies.MeBody:
    """Change one's own password. All logins of the account end, but for a fresh one here."""
    _need_login(caller)
    await throttle.count(context, throttle.OWN_PASSWORD, caller.login)
    account = await _checked(request, context, caller.name, asked.old.get_secret_value())
    if account is None:
        raise ApiError(403, "bad_login", "the old password is wrong")
    entry = await passwords.made(asked.new.get_secret_value(), call_of(request).meter)
    held = await context.store.account(caller.name)
    renewed = replace(account, password=entry)
    batch = context.store.batch()
    made = logins.begin(context, renewed, request, response, batch)
    batch.happened(audit.event("password_changed", context, caller))
    put = context.store.put_account
    if held.value != account or not await put(caller.name, renewed, held.raw, batch):
        raise ApiError(409, "account_changed", "the account was changed just now: try again")
    return _me(replace(caller, csrf=made.csrf))


async def _checked(request: Request, context: Context, name: str, password: str) -> Account | None:
    """The account of that name, if the password is its own and it is not disabled."""
    account = None if name in RESERVED_NAMES else (await context.store.account(name)).value
    entry = None if account is None else account.password
    good = await passwords.matches(entry, password, call_of(request).meter)
    return account if good and account is not None and not account.disabled else None


def _check_same_site(request: Request) -> None:
    """Browsers say when a page of another site asks: it must not log anybody in."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise ApiError(403, "bad_csrf", "log in from the page of this control plane")


def _need_login(caller: Caller) -> None:
    if not caller.by_cookie:
        raise ApiError(409, "no_login", f"{caller.name} is a token: it has no login or password")


def _me(caller: Caller) -> account_bodies.MeBody:
    role = AccountRole(caller.role)
    return account_bodies.MeBody(
        name=caller.name, role=role, sites=list(caller.sites), csrf=caller.csrf
    )
