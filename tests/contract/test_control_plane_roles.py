"""The table of roles against the real app: every route, by everybody who might call it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from services.control_plane import pages
from services.control_plane.app import create_app
from services.control_plane.gate import roles
from services.control_plane.gate.roles import Role, Rule, Scope
from services.control_plane.operators.api import routers
from services.control_plane.settings import ControlSettings
from tests.support.accounts import log_in, put_account
from tests.support.control_plane import (
    ADMIN,
    ADMIN_TOKEN,
    OPERATOR,
    ControlPlane,
    Time,
    as_device,
    running_control_plane,
)
from unisono.state.records import AccountRole

# What is open to everybody and shows nothing of a site: the dashboard's files and the schema.
OPEN_PAGES = {"/", "/openapi.json"}
NOT_LET_IN = {"no_credentials", "bad_credentials", "login_over", "forbidden", "bad_csrf"}
BODIES: dict[str, dict[str, Any]] = {
    "create-session": {"site": "lobby", "playlist": []},
    "change-flags": {"values": {"SYNC_TYPO": 1}, "why": "to see who may"},
    "login": {"name": "ghost", "password": "wrong"},
    "change-password": {"old": "wrong", "new": "wrong as well, but long"},
    "heartbeat": {"address": "10.0.0.1", "beacon_port": 1, "probe_port": 2},
    "ack": {"outcome": "done"},
    "telemetry": {"queue": "q", "items": []},
}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(redis_url: str, time: Time) -> AsyncIterator[ControlPlane]:
    async with running_control_plane(redis_url, time) as plane:
        await plane.enrol("screen-0", site="hall")
        yield plane


def real_routes(app: FastAPI) -> list[Route | APIRoute]:
    """Every route that the app answers on."""
    own = [route for route in app.routes if isinstance(route, Route | APIRoute)]
    included = [route for router in (*routers, pages.router) for route in router.routes]
    # Nothing else is included: a router that this test does not know would be missed.
    assert len(app.routes) - len(own) == len(routers) + 1
    found = [*own, *included]
    assert all(isinstance(route, Route | APIRoute) for route in found)
    return found  # type: ignore[return-value]


def is_page(path: str) -> bool:
    return path in OPEN_PAGES or path.startswith("/dashboard")


def test_the_table_has_every_route_of_the_app_and_no_other() -> None:
    app = create_app(ControlSettings(admin_token=ADMIN_TOKEN))
    served = {
        (route.name, method, route.path)
        for route in real_routes(app)
        if not is_page(route.path)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(rule.route, rule.method, rule.path) for rule in roles.TABLE}
    described = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    assert described == {(rule.method, rule.path) for rule in roles.TABLE}
    assert len({rule.route for rule in roles.TABLE}) == len(roles.TABLE)


def test_the_success_of_every_route_is_that_of_the_table() -> None:
    described = create_app(ControlSettings(admin_token=ADMIN_TOKEN)).openapi()["paths"]
    for rule in roles.TABLE:
        answers = described[rule.path][rule.method.lower()]["responses"]
        assert [status for status in answers if status < "400"] == [str(rule.success)], rule.route


async def call(
    http: httpx.AsyncClient, rule: Rule, headers: dict[str, str]
) -> tuple[bool, httpx.Response]:
    """Whether the caller is let in, and the answer; nothing that is there is changed."""
    known = {"site": "lobby", "device_id": "ghost", "name": "ghost", "command_id": "none"}
    path = rule.path.format(**known, session_id="lobby-00c0ffee00")
    body = None if rule.method == "GET" else BODIES.get(rule.route, {})
    reply = await http.request(rule.method, path, headers=headers, json=body)
    refused = reply.status_code >= 400 and reply.json()["error"]["code"] in NOT_LET_IN
    assert reply.status_code != 429, "the test asks too fast"
    return not refused, reply


def by_logout_last() -> list[Rule]:
    return sorted(roles.TABLE, key=lambda rule: rule.route == "logout")


async def test_nobody_and_devices(cloud: ControlPlane, time: Time) -> None:
    one = await cloud.enrol("screen-1")
    callers = {Role.NOBODY: {}, Role.DEVICE: as_device(one)}
    for role, headers in callers.items():
        time.ms += 600_000
        for rule in by_logout_last():
            let_in, reply = await call(cloud.http, rule, headers)
            assert let_in == (role in rule.who), (role, rule.route, reply.text)
            assert let_in or reply.status_code == 401, (role, rule.route)


async def test_operators_and_administrators_by_token(cloud: ControlPlane, time: Time) -> None:
    await cloud.enrol("screen-1")
    for role, headers in {Role.OPERATOR: OPERATOR, Role.ADMIN: ADMIN}.items():
        time.ms += 600_000
        for rule in by_logout_last():
            let_in, reply = await call(cloud.http, rule, headers)
            assert let_in == (role in rule.who), (role, rule.route, reply.text)
            only_admins = Role.OPERATOR not in rule.who and Role.ADMIN in rule.who
            assert let_in or reply.status_code == (403 if only_admins else 401), rule.route


@pytest.mark.parametrize(
    ("role", "sites", "lobby_is_its_own"),
    [
        (AccountRole.OPERATOR, (), True),
        (AccountRole.OPERATOR, ("attic", "lobby"), True),
        (AccountRole.OPERATOR, ("hall",), False),
        (AccountRole.ADMIN, (), True),
    ],
)
async def test_operators_and_administrators_by_cookie(
    cloud: ControlPlane,
    redis_url: str,
    role: AccountRole,
    sites: tuple[str, ...],
    lobby_is_its_own: bool,
) -> None:
    await cloud.enrol("screen-1")
    await put_account(redis_url, "ana", role=role, sites=sites)
    async with log_in(cloud, "ana") as ana:
        with_csrf = {"X-CSRF-Token": ana.me["csrf"]}
        for rule in by_logout_last():
            let_in, reply = await call(ana.http, rule, with_csrf)
            expected = Role(role) in rule.who
            if rule.scope is Scope.SITE:
                expected = expected and lobby_is_its_own
            assert let_in == expected, (role, sites, rule.route, reply.text)
            if rule.method != "GET" and Role(role) in rule.who and Role.NOBODY not in rule.who:
                assert rule.route == "logout" or not (await call(ana.http, rule, {}))[0], rule.route


async def test_of_the_sites_an_operator_sees_its_own(cloud: ControlPlane, redis_url: str) -> None:
    await cloud.enrol("screen-1")
    await put_account(redis_url, "ana", sites=("hall",))
    async with log_in(cloud, "ana") as ana:
        sites = (await ana.http.get("/v1/sites")).json()["sites"]
        # A site that is not there is no more to be told than one that is not the caller's.
        replies = [await ana.http.get(f"/v1/sites/{site}") for site in ("lobby", "nowhere")]
    assert [line["site"] for line in sites] == ["hall"]
    assert [reply.status_code for reply in replies] == [403, 403]
    every = (await cloud.show("/v1/sites"))["sites"]
    assert [line["site"] for line in every] == ["hall", "lobby"]


def test_the_page_in_docs_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "roles.md"
    assert page.read_text() == roles.page()
