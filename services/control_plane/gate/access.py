"""Who calls, and whether the table of roles lets them: `Guarded`, every route of operators.

Whoever logged in shows a cookie; programs send one of the two bearer tokens of the settings. A
request by cookie that changes something must carry the login's CSRF token, which a page of
another site cannot know. Every call is counted against its account's limit, and one that shows
no good credentials against its address's.
"""

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from services.control_plane.context import Context, bearer, bearer_challenge, context_of
from services.control_plane.errors import ApiError
from services.control_plane.gate import logins, roles, throttle
from services.control_plane.gate.client import client_address
from services.control_plane.gate.roles import Role, Scope
from services.control_plane.gate.tokens import same, site_of_session
from unisono.state.records import AccountRole

ADMIN_TOKEN_NAME = "admin-token"  # noqa: S105  (what the event log calls it)
OPERATOR_TOKEN_NAME = "operator-token"  # noqa: S105
RESERVED_NAMES = frozenset({ADMIN_TOKEN_NAME, OPERATOR_TOKEN_NAME})

CSRF_HEADER = "X-CSRF-Token"
_CALLER = "unisono.caller"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """An operator or administrator, by account or by token.

    ``sites`` limits an operator to some (empty: all). ``csrf`` and ``login`` (the hash of its
    cookie) are "" for whoever shows a token.
    """

    name: str
    role: AccountRole
    sites: tuple[str, ...] = ()
    csrf: str = ""
    login: str = ""

    @property
    def by_cookie(self) -> bool:
        """Whether it logged in."""
        return bool(self.login)

    def may_see(self, site: str) -> bool:
        """Whether that site is among the caller's."""
        return self.role is AccountRole.ADMIN or not self.sites or site in self.sites

    def need_site(self, site: str) -> None:
        """`ApiError` 403 when that site is not among the caller's."""
        if not self.may_see(site):
            raise ApiError(403, "forbidden", f"{self.name} has no access to site {site[:80]}")


class Guarded(APIRoute):
    """A route that lets its caller in before it reads the body, whatever is in there."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What serves a request."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            rule = roles.rule_of(self.name)
            if Role.NOBODY in rule.who:
                context = context_of(request)
                address = client_address(request.scope, context.settings)
                await throttle.count(context, throttle.LOGIN_ADDRESS, address)
            else:
                request.scope[_CALLER] = await _let_in(request, rule)
            return await handle(request)

        return guarded


async def _let_in(request: Request, rule: roles.Rule) -> Caller:
    """Let the request in by the table of roles. `ApiError` 401, 403 or 429."""
    context = context_of(request)
    try:
        found = await _authenticate(request, context)
    except ApiError:
        await _count_address(request)
        raise
    await throttle.count(context, throttle.ACCOUNT, found.name)
    _check_csrf(request, found)
    if Role(found.role) not in rule.who:
        raise ApiError(403, "forbidden", f"{found.name} is no administrator: it may not do this")
    if rule.scope is Scope.SITE:
        _check_site(request, found)
    return found


async def caller(request: Request) -> Caller:
    """Whom `Guarded` has let in (a dependency). KeyError on a route that is not guarded."""
    found: Caller = request.scope[_CALLER]
    return found


async def _context(request: Request) -> Context:
    """`context_of` as a coroutine: for a plain function the framework starts a thread."""
    return context_of(request)


CallerOf = Annotated[Caller, Depends(caller)]
ContextOf = Annotated[Context, Depends(_context)]


async def let_in_metrics(request: Request) -> None:
    """Let a reader of ``/metrics`` in. `ApiError` 401 where the settings ask for a token, 429.

    Whoever shows no good token is counted by its address, where none is asked for as well.
    """
    settings = context_of(request).settings
    if "authorization" in request.headers or settings.metrics_token:
        try:
            _check_metrics_token(request)
            return
        except ApiError:
            if settings.metrics_token:
                await _count_address(request)
                raise
    await _count_address(request)


def _check_metrics_token(request: Request) -> None:
    wanted, token = context_of(request).settings.metrics_token, bearer(request)
    if (wanted and same(wanted, token)) or _token_caller(request, token) is not None:
        return
    raise ApiError(401, "bad_credentials", "the token of /metrics is wrong", bearer_challenge())


async def _count_address(request: Request) -> None:
    context = context_of(request)
    address = client_address(request.scope, context.settings)
    await throttle.count(context, throttle.ADDRESS, address)


async def _authenticate(request: Request, context: Context) -> Caller:
    """Who calls. A bearer token wins over a cookie: it was sent on purpose."""
    if "authorization" in request.headers:
        found = _token_caller(request, bearer(request))
        if found is not None:
            return found
        raise ApiError(
            401, "bad_credentials", "the token is no operator's or administrator's",
            bearer_challenge(),
        )  # fmt: skip
    token = logins.token_of(request, context.settings)
    if token is None:
        raise ApiError(
            401, "no_credentials", "log in, or send the header Authorization: Bearer TOKEN",
            bearer_challenge(),
        )  # fmt: skip
    held = await logins.find(context, token)
    if held is None:
        raise ApiError(401, "login_over", "this login is over: log in again", bearer_challenge())
    account = held.account
    return Caller(account.name, account.role, account.sites, held.login.csrf, held.digest)


def _token_caller(request: Request, token: str) -> Caller | None:
    settings = context_of(request).settings
    if settings.admin_token and same(settings.admin_token, token):
        return Caller(ADMIN_TOKEN_NAME, AccountRole.ADMIN)
    if settings.operator_token and same(settings.operator_token, token):
        return Caller(OPERATOR_TOKEN_NAME, AccountRole.OPERATOR)
    return None


def _check_csrf(request: Request, found: Caller) -> None:
    if not found.by_cookie or request.method in _SAFE_METHODS:
        return
    said = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(said.encode(), found.csrf.encode()):
        raise ApiError(
            403, "bad_csrf", f"send the header {CSRF_HEADER} with the value that the login gave"
        )


def _check_site(request: Request, found: Caller) -> None:
    """The site in the path, or that of the session in it; one in the body is the route's job."""
    site = request.path_params.get("site")
    session_id = request.path_params.get("session_id")
    if session_id is not None:
        # What is no session's id names no site: the route answers that there is no such session.
        site = site_of_session(session_id)
    if site is not None:
        found.need_site(site)
