"""Accounts as administrators manage them, and what becomes of their logins."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.accounts import PASSWORD, log_in, make_passwords_cheap, put_account
from tests.support.control_plane import ADMIN, ControlPlane, Time, running_control_plane
from unisono.state.records import AccountRole

BEA = {"name": "bea", "role": "operator", "password": PASSWORD, "sites": ["lobby", "hall"]}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(
    redis_url: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ControlPlane]:
    make_passwords_cheap(monkeypatch)
    async with running_control_plane(redis_url, time) as plane:
        yield plane


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def admin(cloud: ControlPlane, method: str, path: str, body: Any = None) -> httpx.Response:
    return await cloud.http.request(method, path, json=body, headers=ADMIN)


async def test_an_account_from_its_creation_to_its_end(cloud: ControlPlane, time: Time) -> None:
    made = await admin(cloud, "POST", "/v1/accounts", BEA)
    assert made.status_code == 201
    shown = {
        "name": "bea",
        "role": "operator",
        "sites": ["hall", "lobby"],
        "disabled": False,
        "created_ms": time.ms,
        "created_by": "admin-token",
    }
    assert made.json() == shown
    assert code(await admin(cloud, "POST", "/v1/accounts", BEA)) == (409, "account_exists")
    async with log_in(cloud, "bea") as bea:
        assert bea.me["sites"] == ["hall", "lobby"]
    changed = await admin(cloud, "PATCH", "/v1/accounts/bea", {"sites": []})
    assert changed.json() == shown | {"sites": []}
    listed = await admin(cloud, "GET", "/v1/accounts")
    assert listed.json() == {"accounts": [shown | {"sites": []}]}
    assert (await admin(cloud, "DELETE", "/v1/accounts/bea")).json() == {}
    for method in ("PATCH", "DELETE"):
        gone = await admin(cloud, method, "/v1/accounts/bea", {})
        assert code(gone) == (404, "unknown_account")
    assert (await admin(cloud, "GET", "/v1/accounts")).json() == {"accounts": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/accounts/ana", {"disabled": True}),
        ("PATCH", "/v1/accounts/ana", {"password": "another long password"}),
        ("PATCH", "/v1/accounts/ana", {"password": PASSWORD}),
        ("DELETE", "/v1/accounts/ana", None),
    ],
)
async def test_logins_end_with_what_they_rest_on(
    cloud: ControlPlane, redis_url: str, method: str, path: str, body: Any
) -> None:
    await put_account(redis_url, "ana")
    async with log_in(cloud, "ana") as ana:
        assert (await ana.http.get("/v1/me")).is_success
        assert (await admin(cloud, method, path, body)).is_success
        assert code(await ana.http.get("/v1/me")) == (401, "login_over")
        # Nor does it come back with an account of the same name and password.
        await put_account(redis_url, "ana")
        assert code(await ana.http.get("/v1/me")) == (401, "login_over")


async def test_an_account_that_is_enabled_again_can_log_in(
    cloud: ControlPlane, redis_url: str
) -> None:
    await put_account(redis_url, "ana", disabled=True)
    login = {"name": "ana", "password": PASSWORD}
    assert (await cloud.http.post("/v1/login", json=login)).status_code == 401
    assert (await admin(cloud, "PATCH", "/v1/accounts/ana", {"disabled": False})).is_success
    async with log_in(cloud, "ana") as ana:
        assert ana.me["name"] == "ana"


async def test_the_last_administrator_may_go_since_the_token_remains(
    cloud: ControlPlane, redis_url: str
) -> None:
    await put_account(redis_url, "ana", role=AccountRole.ADMIN)
    async with log_in(cloud, "ana") as ana:
        assert (await ana.send("DELETE", "/v1/accounts/ana")).is_success
        assert (await ana.http.get("/v1/me")).status_code == 401
    assert (await admin(cloud, "POST", "/v1/accounts", BEA)).status_code == 201


async def test_mistakes_are_named(cloud: ControlPlane) -> None:
    for change, sentence in (
        ({"password": "short"}, "password: "),
        ({"password": None}, "password: "),
        ({"name": "no spaces"}, "name: "),
        ({"name": "admin-token"}, "name: admin-token stands for a token"),
        ({"role": "device"}, "role: "),
        ({"role": "admin"}, "sites: an administrator has every site"),
        ({"sites": ["a/b"]}, "sites.0: "),
        ({"colour": "red"}, "colour: "),
    ):
        reply = await admin(cloud, "POST", "/v1/accounts", BEA | change)
        assert code(reply) == (422, "bad_field"), change
        assert reply.json()["error"]["message"].startswith(sentence), reply.text
        assert "short" not in reply.text
    assert (await admin(cloud, "GET", "/v1/accounts")).json() == {"accounts": []}


async def test_whoever_becomes_an_administrator_has_every_site(cloud: ControlPlane) -> None:
    await admin(cloud, "POST", "/v1/accounts", BEA)
    path = "/v1/accounts/bea"
    assert (await admin(cloud, "PATCH", path, {"role": "admin"})).json()["sites"] == []
    wrong = await admin(cloud, "PATCH", path, {"sites": ["lobby"]})
    assert code(wrong) == (422, "bad_field")
    back = {"role": "operator", "sites": ["lobby"]}
    assert (await admin(cloud, "PATCH", path, back)).json()["sites"] == ["lobby"]


async def test_changes_are_written_down_with_who_and_when(
    cloud: ControlPlane, redis_url: str, time: Time
) -> None:
    await put_account(redis_url, "ana", role=AccountRole.ADMIN)
    async with log_in(cloud, "ana") as ana:
        time.ms += 1
        await ana.send("POST", "/v1/accounts", BEA)
        time.ms += 1
        change = {"password": "another long password", "sites": ["hall"]}
        await ana.send("PATCH", "/v1/accounts/bea", change)
        time.ms += 1
        await ana.send("DELETE", "/v1/accounts/bea")
    events = (await admin(cloud, "GET", "/v1/events?limit=3")).json()["events"]
    assert [(e["kind"], e["who"], e["at_ms"], e["detail"]) for e in events] == [
        ("account_removed", "ana", time.ms, "bea"),
        (
            "account_changed",
            "ana",
            time.ms - 1,
            "bea: operator of sites hall, another password",
        ),
        ("account_created", "ana", time.ms - 2, "bea: operator of sites hall, lobby"),
    ]
    page = (await admin(cloud, "GET", "/v1/events?limit=3")).json()
    older = (await admin(cloud, "GET", f"/v1/events?before={page['next']}")).json()
    assert ([event["kind"] for event in older["events"]], older["next"]) == (["login"], None)
