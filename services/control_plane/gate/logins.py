"""Logins: a cookie that only the browser holds, and of which only a hash is kept.

A login ends 12 hours after it began, when somebody logs out, and at once when its account is
disabled, removed or given another password: each request reads the account anew, and the login
names the password's entry that it was made with.
"""

import secrets
from dataclasses import dataclass

from fastapi import Request, Response

from services.control_plane.context import Context
from services.control_plane.gate import passwords
from services.control_plane.gate.client import is_https
from services.control_plane.gate.tokens import digest_of, same
from services.control_plane.settings import ControlSettings
from unisono.state import keys
from unisono.state.account_documents import end_login, keep_login
from unisono.state.documents import Batch
from unisono.state.records import Account, Login

COOKIE = "unisono"
# Over https the browser itself sees to it that no other host can set it.
SECURE_COOKIE = "__Host-unisono"
LOGIN_MS = 12 * keys.HOUR_MS
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Held:
    """A login that is good, by the hash of its cookie."""

    digest: str
    login: Login
    account: Account


def token_of(request: Request, settings: ControlSettings) -> str | None:
    """What the request's cookie says; None when there is none."""
    name = SECURE_COOKIE if is_https(request.scope, settings) else COOKIE
    return request.cookies.get(name) or None


async def find(context: Context, token: str) -> Held | None:
    """The login of that cookie, and its account as it is now; None when it is over."""
    digest = digest_of(token)
    login = await context.store.login(digest)
    if login is None or context.now_ms() - login.at_ms >= LOGIN_MS:
        return None
    account = (await context.store.account(login.name)).value
    if account is None or account.disabled:
        return None
    if not same(passwords.fingerprint(account.password), login.password_sha256):
        return None
    return Held(digest, login, account)


def begin(
    context: Context, account: Account, request: Request, response: Response, batch: Batch
) -> Login:
    """Log the account in: ``response`` gets the cookie, and the login it came with ends.

    ``batch`` gets what must be stored before the answer is given.
    """
    old = token_of(request, context.settings)
    if old is not None:
        end_login(batch, digest_of(old))
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    login = Login(
        name=account.name,
        csrf=secrets.token_urlsafe(_TOKEN_BYTES),
        at_ms=context.now_ms(),
        password_sha256=passwords.fingerprint(account.password),
    )
    keep_login(batch, digest_of(token), login)
    _set_cookie(context, request, response, token, LOGIN_MS // 1000)
    return login


def end(context: Context, digest: str, request: Request, response: Response, batch: Batch) -> None:
    """Log out: with ``batch`` the login is over for everybody who has its cookie."""
    end_login(batch, digest)
    _set_cookie(context, request, response, "", 0)


def _set_cookie(
    context: Context, request: Request, response: Response, token: str, max_age_s: int
) -> None:
    secure = is_https(request.scope, context.settings)
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        token,
        max_age=max_age_s,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
