"""Accounts and logins for tests of the control plane; passwords with a hash that costs little."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from services.control_plane.gate import passwords
from services.control_plane.gate.passwords import Costs, entry_of
from tests.support.control_plane import ControlPlane
from unisono.state import DocumentStore, RedisStore
from unisono.state.records import Account, AccountRole

PASSWORD = "correct horse battery"
CHEAP = Costs(log2_n=4, r=8, p=1)


def make_passwords_cheap(patch: pytest.MonkeyPatch) -> None:
    """Let new passwords, and what is computed in vain, cost little too."""
    patch.setattr(passwords, "COSTS", CHEAP)


@dataclass(frozen=True)
class Browser:
    """Somebody who is logged in: the cookie is kept, the CSRF token sent along."""

    http: httpx.AsyncClient
    me: dict[str, Any]

    async def send(
        self, method: str, path: str, body: Any = None, csrf: str | None = None
    ) -> httpx.Response:
        """One request; ``csrf`` replaces the login's token."""
        headers = {"X-CSRF-Token": self.me["csrf"] if csrf is None else csrf}
        return await self.http.request(method, path, json=body, headers=headers)


async def put_account(redis_url: str, name: str, **fields: Any) -> Account:
    """Keep an account of that name, with `PASSWORD`; ``fields`` replaces what it has."""
    account = Account(name, AccountRole.OPERATOR, entry_of(PASSWORD, CHEAP))
    account = replace(account, **fields)
    store = DocumentStore(RedisStore(redis_url))
    try:
        held = await store.account(name)
        assert await store.put_account(name, account, held.raw)
    finally:
        await store.close()
    return account


@contextlib.asynccontextmanager
async def log_in(
    cloud: ControlPlane, name: str, password: str = PASSWORD
) -> AsyncIterator[Browser]:
    """A browser in which that account is logged in, until the block ends."""
    async with httpx.AsyncClient(base_url=cloud.url, trust_env=False) as http:
        reply = await http.post("/v1/login", json={"name": name, "password": password})
        assert reply.status_code == 200, reply.text
        yield Browser(http, reply.json())
