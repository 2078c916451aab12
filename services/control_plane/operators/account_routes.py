"""Accounts, for administrators.

The last account of an administrator may be disabled or removed, too: the administrators' token
of the settings remains, and whoever has it can create another.
"""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request

from services.control_plane.calls import call_of
from services.control_plane.errors import RETRY_AFTER_S, ApiError
from services.control_plane.gate import passwords
from services.control_plane.gate.access import RESERVED_NAMES, CallerOf, ContextOf, Guarded
from services.control_plane.operators import account_bodies, audit, bodies
from services.control_plane.operators.bodies import NAME_PATTERN, Before
from services.control_plane.operators.site_routes import Limit, events_body
from unisono.state.documents import NO_SITE
from unisono.state.records import Account, AccountRole

# Each round somebody else has changed the account; so often in a row nobody does.
ROUNDS = 8

router = APIRouter(prefix="/v1", tags=["accounts"], responses=bodies.ERRORS, route_class=Guarded)
AccountName = Annotated[str, Path(pattern=NAME_PATTERN, examples=["ana"])]


@router.get("/accounts", name="accounts")
async def list_accounts(_: CallerOf, context: ContextOf) -> account_bodies.AccountsBody:
    """Every account, without its password."""
    held = await context.store.accounts()
    found = [kept.value for _, kept in sorted(held.items()) if kept.value is not None]
    return account_bodies.AccountsBody(accounts=[_body(account) for account in found])


@router.post("/accounts", name="create-account", status_code=201)
async def create_account(
    asked: account_bodies.AccountRequest, request: Request, caller: CallerOf, context: ContextOf
) -> account_bodies.AccountBody:
    """Create an account."""
    if asked.name in RESERVED_NAMES:
        raise ApiError(422, "bad_field", f"name: {asked.name} stands for a token: choose another")
    account = Account(
        name=asked.name,
        role=asked.role,
        password=await passwords.made(asked.password.get_secret_value(), call_of(request).meter),
        sites=_sites(asked.role, asked.sites),
        created_ms=context.now_ms(),
        created_by=caller.name,
    )
    batch = context.store.batch()
    batch.happened(audit.event("account_created", context, caller, detail=_said(account)))
    if not await context.store.put_account(account.name, account, None, batch):
        raise ApiError(409, "account_exists", f"there is an account {account.name} already")
    return _body(account)


@router.patch("/accounts/{name}", name="change-account")
async def change_account(
    name: AccountName,
    asked: account_bodies.AccountChange,
    request: Request,
    caller: CallerOf,
    context: ContextOf,
) -> account_bodies.AccountBody:
    """Change an account. Disabled, or given another password, it loses its logins at once."""
    entry = None
    if asked.password is not None:
        entry = await passwords.made(asked.password.get_secret_value(), call_of(request).meter)
    for _ in range(ROUNDS):
        held = await context.store.account(name)
        if held.value is None:
            raise _unknown(name)
        account = _changed(held.value, asked, entry)
        what = _said(account) + (", another password" if entry is not None else "")
        batch = context.store.batch()
        batch.happened(audit.event("account_changed", context, caller, detail=what))
        if await context.store.put_account(name, account, held.raw, batch):
            return _body(account)
    raise _busy(name)


@router.delete("/accounts/{name}", name="remove-account")
async def remove_account(name: AccountName, caller: CallerOf, context: ContextOf) -> bodies.Done:
    """Remove an account: it loses its logins at once.

    The last one of an administrator may go, too: the administrators' token remains.
    """
    for _ in range(ROUNDS):
        held = await context.store.account(name)
        if held.raw is None:
            raise _unknown(name)
        batch = context.store.batch()
        batch.happened(audit.event("account_removed", context, caller, detail=name))
        if await context.store.put_account(name, None, held.raw, batch):
            return bodies.Done()
    raise _busy(name)


@router.get("/events", name="account-events")
async def list_account_events(
    _: CallerOf, context: ContextOf, before: Before | None = None, limit: Limit = 100
) -> bodies.EventsBody:
    """What happened to accounts, and who logged in, newest first."""
    return await events_body(context, NO_SITE, before, limit)


def _changed(account: Account, asked: account_bodies.AccountChange, entry: str | None) -> Account:
    role = account.role if asked.role is None else asked.role
    if asked.sites is not None:
        sites = _sites(role, asked.sites)
    else:
        sites = () if role is AccountRole.ADMIN else account.sites
    return replace(
        account,
        role=role,
        sites=sites,
        password=account.password if entry is None else entry,
        disabled=account.disabled if asked.disabled is None else asked.disabled,
    )


def _sites(role: AccountRole, sites: list[str]) -> tuple[str, ...]:
    if role is AccountRole.ADMIN and sites:
        raise ApiError(422, "bad_field", "sites: an administrator has every site: leave them out")
    return tuple(sorted(set(sites)))


def _said(account: Account) -> str:
    """The account in words, for the event log."""
    where = "every site" if not account.sites else f"sites {', '.join(account.sites)}"
    state = ", disabled" if account.disabled else ""
    return f"{account.name}: {account.role.value} of {where}{state}"[:1024]


def _body(account: Account) -> account_bodies.AccountBody:
    return account_bodies.AccountBody(
        name=account.name,
        role=account.role,
        sites=list(account.sites),
        disabled=account.disabled,
        created_ms=account.created_ms,
        created_by=account.created_by,
    )


def _unknown(name: str) -> ApiError:
    return ApiError(404, "unknown_account", f"there is no account {name}")


def _busy(name: str) -> ApiError:
    return ApiError(
        503,
        "account_busy",
        f"too many changes of account {name} at once: try again",
        {"Retry-After": str(RETRY_AFTER_S)},
    )
