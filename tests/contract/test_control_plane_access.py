"""Limits, security headers, `/metrics`, and what must never be seen: secrets."""

import asyncio
import logging
import re
import time as time_of_thread
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis

from services.control_plane.app import create_app
from services.control_plane.gate import passwords, throttle
from services.control_plane.gate.roles import TABLE as ROUTES
from services.control_plane.gate.roles import Role, Scope
from services.control_plane.metering import Meter, metered
from services.control_plane.metrics import TABLE, Page
from services.control_plane.settings import ControlSettings
from services.control_plane.side_by_side import side_by_side
from tests.support.accounts import PASSWORD, log_in, make_passwords_cheap, put_account
from tests.support.control_plane import (
    ADMIN,
    ADMIN_TOKEN,
    OPERATOR,
    OPERATOR_TOKEN,
    ControlPlane,
    Time,
    as_device,
    running_control_plane,
    start,
    two_devices,
)
from tests.support.redis_server import RedisServer
from unisono.core.event_kinds import EVENT_KINDS
from unisono.core.site_document import SiteDocument
from unisono.state.documents import SiteCounters
from unisono.state.records import AccountRole


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


async def test_an_account_is_limited_and_told_when_to_come_back(
    cloud: ControlPlane, time: Time
) -> None:
    for _ in range(throttle.ACCOUNT.calls):
        assert (await cloud.http.get("/v1/me", headers=OPERATOR)).status_code == 200
    reply = await cloud.http.get("/v1/me", headers=OPERATOR)
    assert code(reply) == (429, "rate_limited")
    wait_s = int(reply.headers["retry-after"])
    assert 0 < wait_s <= throttle.ACCOUNT.window_ms / 1000
    # Nobody else suffers, and it may come back when it was told to.
    assert (await cloud.http.get("/v1/me", headers=ADMIN)).status_code == 200
    time.ms += wait_s * 1000
    assert (await cloud.http.get("/v1/me", headers=OPERATOR)).status_code == 200


async def test_whoever_shows_no_good_credentials_is_limited_by_address(
    cloud: ControlPlane,
) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "unisono=wrong"},
    )
    for n in range(throttle.ADDRESS.calls):
        reply = await cloud.http.get("/v1/sites", headers=wrong[n % len(wrong)])
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    assert code(await cloud.http.get("/v1/sites")) == (429, "rate_limited")
    # Whoever has them is let in from there, as before.
    assert (await cloud.http.get("/v1/sites", headers=OPERATOR)).is_success


async def test_an_operator_token_that_is_not_set_lets_nobody_in(redis_url: str) -> None:
    async with running_control_plane(redis_url, operator_token="") as plane:
        for said in ("Bearer", "Bearer \t.", "Bearer x", f"Bearer {OPERATOR_TOKEN}"):
            bearer = {"Authorization": said}
            assert (await plane.http.get("/v1/sites", headers=bearer)).status_code == 401
        assert (await plane.http.get("/v1/sites", headers=ADMIN)).is_success


async def test_a_token_wins_over_a_cookie(cloud: ControlPlane, redis_url: str) -> None:
    await put_account(redis_url, "ana")
    async with log_in(cloud, "ana") as ana:
        by_both = await ana.http.get("/v1/me", headers=ADMIN)
        assert by_both.json()["name"] == "admin-token"
        wrong = {"Authorization": "Bearer wrong"}
        assert code(await ana.http.get("/v1/me", headers=wrong)) == (401, "bad_credentials")


async def test_every_answer_has_the_security_headers(cloud: ControlPlane) -> None:
    one = await cloud.enrol("screen-1")
    replies = [
        await cloud.http.get("/v1/sites", headers=OPERATOR),
        await cloud.http.get("/v1/sites"),
        await cloud.http.get("/nowhere"),
        await cloud.http.get("/healthz"),
        await cloud.http.get("/metrics"),
        await cloud.http.get("/v1/device/commands", headers=as_device(one)),
        await cloud.http.get("/v1/device/commands"),
        await cloud.http.post("/v1/login", content=b" " * 300_000),
        await cloud.http.get("/dashboard/"),
    ]
    for reply in replies:
        headers = reply.headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], reply.url
        assert headers["content-security-policy"].startswith("default-src '"), reply.url
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in headers
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert (headers["cache-control"] == "no-store") or "/dashboard" in str(reply.url)


async def test_no_log_event_or_key_holds_a_secret(
    cloud: ControlPlane,
    redis_url: str,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    one, _ = await two_devices(cloud)
    new, typed = "a fresh long password", "typed into the wrong field"
    account = {"name": "bea", "role": "operator", "password": PASSWORD, "sites": ["lobby"]}
    made = await cloud.http.post("/v1/accounts", json=account, headers=ADMIN)
    assert made.status_code == 201, made.text
    async with log_in(cloud, "bea") as bea:
        cookie, csrf = dict(bea.http.cookies)["unisono"], bea.me["csrf"]
        body = {"old": PASSWORD, "new": new}
        assert (await bea.send("POST", "/v1/me/password", body)).is_success
    change = {"password": typed, "disabled": True}
    changed = await cloud.http.patch("/v1/accounts/bea", json=change, headers=ADMIN)
    assert changed.is_success
    for body in ({"name": "bea", "password": typed}, {"name": typed, "password": typed}):
        refused = await cloud.http.post("/v1/login", json=body)
        assert refused.status_code in (401, 422)
        assert typed not in refused.text
    token = await cloud.http.post("/v1/sites/lobby/enroll-tokens", json={}, headers=ADMIN)
    await start(cloud)
    logged = "\n".join(
        f"{record.getMessage()} {record.args}"
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))  # the client of this test
    )
    said = [
        (await cloud.http.get(path, headers=ADMIN)).text
        for path in ("/v1/events", "/v1/accounts", "/v1/sites/lobby/events", "/v1/sites/lobby")
    ]
    kept = everything_in(redis_server)
    # In Redis the session's own secret and the login's CSRF token are kept; what lets somebody
    # in is kept as a hash only.
    for secret in (
        *(PASSWORD, new, typed, cookie, ADMIN_TOKEN, OPERATOR_TOKEN),
        *(one.partition(".")[2], token.json()["tokens"][0]),
    ):
        assert secret not in logged
        assert not any(secret in text for text in said)
        assert secret.encode() not in kept
    assert csrf not in logged
    assert "failed to log in" in logged
    assert "scrypt" not in "".join(said)


def everything_in(server: RedisServer) -> bytes:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        found = b""
        for key in client.scan_iter():
            kind = client.type(key)
            held: Any = client.hgetall(key) if kind == b"hash" else client.zrange(key, 0, -1)
            found += key + repr(held).encode()
    return found


async def test_metrics_are_open_unless_a_token_is_set(redis_url: str) -> None:
    async with running_control_plane(redis_url, metrics_token="prometheus-only-0123456789") as c:
        assert code(await c.http.get("/metrics")) == (401, "no_credentials")
        wrong = {"Authorization": "Bearer wrong"}
        assert code(await c.http.get("/metrics", headers=wrong)) == (401, "bad_credentials")
        own = {"Authorization": "Bearer prometheus-only-0123456789"}
        for headers in (own, OPERATOR, ADMIN):
            assert (await c.http.get("/metrics", headers=headers)).is_success
        assert (await c.http.get("/v1/sites", headers=own)).status_code == 401


async def test_whoever_guesses_at_the_token_of_metrics_is_limited(redis_url: str) -> None:
    token = "prometheus-only-0123456789"
    async with running_control_plane(redis_url, metrics_token=token) as c:
        wrong: tuple[dict[str, str], ...] = ({}, {"Authorization": "Bearer wrong"})
        statuses = [
            (await c.http.get("/metrics", headers=wrong[n % 2])).status_code
            for n in range(throttle.ADDRESS.calls + 1)
        ]
        assert statuses == [401] * throttle.ADDRESS.calls + [429]
        own = {"Authorization": f"Bearer {token}"}
        assert (await c.http.get("/metrics", headers=own)).is_success


async def test_whoever_reads_metrics_without_a_token_is_limited(cloud: ControlPlane) -> None:
    wrong: tuple[dict[str, str], ...] = ({}, {"Authorization": "Bearer wrong"})
    statuses = [
        (await cloud.http.get("/metrics?site=-", headers=wrong[n % 2])).status_code
        for n in range(throttle.ADDRESS.calls + 1)
    ]
    assert statuses == [200] * throttle.ADDRESS.calls + [429]
    assert (await cloud.http.get("/metrics", headers=OPERATOR)).is_success


async def test_metrics_of_one_site_alone(cloud: ControlPlane) -> None:
    for site in ("hall", "lobby"):
        await cloud.administer(f"/v1/sites/{site}/enroll-tokens")
    every = (await cloud.http.get("/metrics")).text.splitlines()
    for site in ("hall", "-"):
        lines = (await cloud.http.get(f"/metrics?site={site}")).text.splitlines()
        assert any(f'site="{site}"' in line for line in lines)
        others = [line for line in lines if "{" in line and f'site="{site}"' not in line]
        assert not others
    assert {'site="hall"', 'site="lobby"', 'site="-"'} <= set(
        re.findall('site="[^"]*"', "\n".join(every))
    )
    assert code(await cloud.http.get("/metrics?site=nowhere")) == (404, "unknown_site")
    assert code(await cloud.http.get("/metrics?site=a/b")) == (422, "bad_field")


def test_metrics_of_a_thousand_sites_stay_small() -> None:
    device_ids = frozenset(f"screen-{n}" for n in range(10))
    site = SiteCounters(SiteDocument(), {}, device_ids, {}, {}, {}, {})
    page = Page()
    for n in range(1000):
        page.add(f"screens-{n:03}", site, 0)
    assert len(page.text()) < 4_000_000


async def test_who_is_no_operator_is_told_so_before_the_body_is_read(cloud: ControlPlane) -> None:
    json = {"Content-Type": "application/json"}
    for n in range(throttle.ADDRESS.calls + 1):
        reply = await cloud.http.post("/v1/sessions", content=b"{", headers=json)
        expected = 401 if n < throttle.ADDRESS.calls else 429
        assert reply.status_code == expected, reply.text
    reply = await cloud.http.post("/v1/sessions", content=b"{", headers=json | OPERATOR)
    assert code(reply) == (400, "malformed_json")
    # What is not JSON is a call of the account as any other.
    for _ in range(throttle.ACCOUNT.calls):
        reply = await cloud.http.post("/v1/sessions", content=b"{", headers=json | OPERATOR)
    assert code(reply) == (429, "rate_limited")


async def test_what_is_done_side_by_side_is_metered() -> None:
    def work(name: str) -> int:
        start_ns = time_of_thread.thread_time_ns()
        while time_of_thread.thread_time_ns() - start_ns < 5_000_000:
            pass
        return int(name)

    async def make(name: str) -> int:
        await asyncio.sleep(0)
        if name == "9":
            raise ValueError(name)
        return work(name)

    meter = Meter()
    found = await metered(side_by_side(make, map(str, range(5)), meter), meter)
    assert found == [0, 1, 2, 3, 4]
    assert 25_000_000 <= meter.used_ns() < 100_000_000
    failing = Meter()
    with pytest.raises(ValueError, match="9"):
        await side_by_side(make, ["9", "1"], failing)
    assert failing.used_ns() > 5_000_000


def test_the_schema_says_who_may_call_and_when_to_come_back() -> None:
    made = create_app(ControlSettings(admin_token=ADMIN_TOKEN)).openapi()
    for rule in ROUTES:
        operation = made["paths"][rule.path][rule.method.lower()]
        names = [set(one) for one in operation["security"]]
        if rule.route == "metrics":
            expected: list[set[str]] = [set(), {"metrics"}, {"token"}]
        elif Role.NOBODY in rule.who:
            expected = []
        elif Role.DEVICE in rule.who:
            expected = [{"device"}]
        else:
            by_cookie = {"login"} if rule.method == "GET" else {"login", "csrf"}
            expected = [{"token"}, by_cookie]
        assert names == expected, rule.route
        answers = operation["responses"]
        for status in ("429", "503"):
            if rule.route != "healthz" or status == "503":
                assert answers[status]["headers"]["Retry-After"]["required"], rule.route
        assert ("401" in answers) == (rule.route != "healthz"), rule.route
    schemes = made["components"]["securitySchemes"]
    assert {name for one in schemes.values() for name in [one.get("name")] if name} == {
        "unisono",
        "X-CSRF-Token",
    }


def read_metrics(text: str) -> dict[str, float]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_all_that_is_counted_is_there_from_the_start(cloud: ControlPlane) -> None:
    await cloud.http.post("/v1/sites/lobby/enroll-tokens", json={}, headers=ADMIN)
    text = (await cloud.http.get("/metrics")).text
    values = read_metrics(text)
    prefix = "unisono_control_"
    for kind in EVENT_KINDS:
        assert values[f'{prefix}events_total{{site="lobby",event="{kind}"}}'] == 0
    for rule in ROUTES:
        if rule.scope is Scope.SITE:
            continue  # what operators call of a site: with so many sites, zeros are too much
        site = "lobby" if rule.path.startswith(("/v1/device", "/v1/sync")) else "-"
        labels = f'site="{site}",route="{rule.route}"'
        assert f'{prefix}requests_total{{{labels},status="{rule.success}"}}' in values
        assert f"{prefix}cpu_seconds_total{{{labels}}}" in values
    assert values[f'{prefix}invocations_total{{site="lobby"}}'] == 1
    assert values[f'{prefix}failovers_total{{site="lobby"}}'] == 0
    assert values[f'{prefix}cpu_seconds_total{{site="lobby",route="enroll-tokens"}}'] > 0
    for metric in TABLE:
        assert f"# TYPE {metric.name} {metric.kind}" in text


async def test_metrics_count_what_happens(cloud: ControlPlane) -> None:
    await two_devices(cloud)
    await start(cloud)
    values = read_metrics((await cloud.http.get("/metrics")).text)
    prefix = "unisono_control_"
    assert values[f'{prefix}events_total{{site="lobby",event="session_created"}}'] == 1
    assert values[f'{prefix}sessions{{site="lobby",state="preparing"}}'] == 1
    assert values[f'{prefix}devices{{site="lobby"}}'] == 2
    assert values[f'{prefix}devices_seen{{site="lobby"}}'] == 2
    assert values[f'{prefix}requests_total{{site="lobby",route="heartbeat",status="200"}}'] == 2
    counted = sum(v for k, v in values.items() if "requests_total" in k and '"lobby"' in k)
    assert values[f'{prefix}invocations_total{{site="lobby"}}'] == counted


def test_passwords_are_checked_at_the_costs_they_were_kept_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_passwords_cheap(monkeypatch)
    entry = passwords.entry_of("Ünïcode is fine", passwords.Costs(log2_n=5, r=4, p=2))
    assert entry.startswith("scrypt$5$4$2$")
    assert passwords.entry_of("Ünïcode is fine") != entry  # each has its own salt
    assert passwords.is_of(entry, "Ünïcode is fine")
    assert passwords.is_of(entry, "U\u0308ni\u0308code is fine")  # the same, typed otherwise
    for wrong in ("", "unicode is fine", "Ünïcode is fine "):
        assert not passwords.is_of(entry, wrong)
    for broken in (None, "", "scrypt$x", "md5$1$1$1$00$00", entry.replace("$4$", "$4.5$")):
        assert not passwords.is_of(broken, "Ünïcode is fine")


async def test_an_unknown_name_costs_what_a_known_one_costs() -> None:
    entry, known, unknown = passwords.entry_of("some password"), Meter(), Meter()
    assert not await passwords.matches(entry, "wrong", known)
    assert not await passwords.matches(None, "wrong", unknown)
    assert known.used_ns() > 1_000_000
    assert unknown.used_ns() > known.used_ns() / 3


async def test_roles_of_accounts_hold_for_their_next_call(
    cloud: ControlPlane, redis_url: str
) -> None:
    account = await put_account(redis_url, "ana", role=AccountRole.ADMIN)
    async with log_in(cloud, "ana") as ana:
        assert (await ana.http.get("/v1/accounts")).is_success
        await put_account(redis_url, "ana", password=account.password)
        assert code(await ana.http.get("/v1/accounts")) == (403, "forbidden")


ODD: tuple[tuple[str, str, bytes], ...] = (
    ("POST", "/v1/login", rb'{"name": "a", "password": "\ud800 is half a letter"}'),
    ("POST", "/v1/accounts", rb'{"name": "a", "role": "admin", "password": "\ud800 is half"}'),
    ("POST", "/v1/sessions", rb'{"site": "lobby", "playlist": [], "flags": {"\ud800": 1}}'),
    ("PATCH", "/v1/sites/lobby/flags", rb'{"values": {"\ud800": 1}, "why": "x"}'),
    ("PATCH", "/v1/sites/lobby/flags", rb'{"values": {"\ud800": null}, "why": "x"}'),
    ("PATCH", "/v1/sites/lobby/flags", b'{"values": {"SYNC_STATUS_S": 1e400}, "why": "x"}'),
    ("PATCH", "/v1/sites/lobby/flags", b'{"values": {"SYNC_LAN_TIMEOUT_MS": NaN}, "why": "x"}'),
    ("PATCH", "/v1/sites/lobby/flags", b'{"values": {"SYNC_STATUS_S": 3}, "why": "\\u0000"}'),
    ("POST", "/v1/sessions/%00/stop", b"{}"),
    ("POST", "/v1/sessions/%ed%a0%80/stop", b"{}"),
    ("GET", "/v1/sites/%ff", b""),
    ("GET", "/v1/sites/lobby/events?limit=%ff", b""),
)


async def test_any_text_gets_an_answer(cloud: ControlPlane) -> None:
    await cloud.enrol("screen-1")
    headers = ADMIN | {"Content-Type": "application/json"}
    for method, path, body in ODD:
        reply = await cloud.http.request(method, path, content=body, headers=headers)
        assert reply.status_code < 500, (path, body, reply.text)
    odd_headers = ([(b"Authorization", b"Bearer \xe9")], [(b"Cookie", b"unisono=\xff\xfe")])
    for odd in odd_headers:
        assert (await cloud.http.get("/v1/me", headers=odd)).status_code == 401


async def test_another_spelling_of_a_path_is_no_redirect(cloud: ControlPlane) -> None:
    headers = ADMIN | {"Host": "evil.example"}
    reply = await cloud.http.get("/v1/sites/", headers=headers, follow_redirects=False)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


async def test_a_body_without_its_type_is_read_as_json(cloud: ControlPlane) -> None:
    reply = await cloud.http.post(
        "/v1/sites/lobby/enroll-tokens",
        content=b'{"count": 2}',
        headers=ADMIN,
    )
    assert len(reply.json()["tokens"]) == 2
