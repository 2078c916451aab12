"""Logging in and out: cookies, CSRF, throttles, and what ends a login."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.control_plane.gate import throttle
from services.control_plane.gate.logins import LOGIN_MS
from tests.support.accounts import PASSWORD, log_in, make_passwords_cheap, put_account
from tests.support.control_plane import ADMIN, ControlPlane, Time, running_control_plane
from unisono.state.records import AccountRole

BY = "x-forwarded-for"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cloud(
    redis_url: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ControlPlane]:
    make_passwords_cheap(monkeypatch)
    async with running_control_plane(redis_url, time) as plane:
        await put_account(redis_url, "ana", role=AccountRole.ADMIN)
        yield plane


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def try_in(
    cloud: ControlPlane, name: str, typed: str = "wrong", **headers: str
) -> httpx.Response:
    body = {"name": name, "password": typed}
    async with httpx.AsyncClient(base_url=cloud.url, trust_env=False) as http:
        return await http.post("/v1/login", json=body, headers=headers)


async def test_log_in_look_and_log_out(cloud: ControlPlane) -> None:
    async with log_in(cloud, "ana") as ana:
        assert {k: ana.me[k] for k in ("name", "role", "sites")} == {
            "name": "ana",
            "role": "admin",
            "sites": [],
        }
        assert (await ana.http.get("/v1/me")).json() == ana.me
        cookies = dict(ana.http.cookies)
        assert (await ana.send("POST", "/v1/logout")).status_code == 200
        assert not ana.http.cookies
        # Whoever has kept the cookie has nothing.
        ana.http.cookies.update(cookies)
        assert code(await ana.http.get("/v1/me")) == (401, "login_over")
    assert code(await cloud.http.get("/v1/me")) == (401, "no_credentials")
    events = (await cloud.http.get("/v1/events", headers=ADMIN)).json()["events"]
    assert [(e["kind"], e["who"]) for e in events] == [("logout", "ana"), ("login", "ana")]


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(cloud: ControlPlane) -> None:
    cookie = (await try_in(cloud, "ana", PASSWORD)).headers["set-cookie"]
    name, *flags = [part.strip().lower() for part in cookie.split(";")]
    assert name.startswith("unisono=")
    assert {"httponly", "samesite=strict", "path=/", f"max-age={LOGIN_MS // 1000}"} <= set(flags)
    assert "secure" not in flags
    assert not any(flag.startswith("domain") for flag in flags)


async def test_over_https_the_cookie_is_bound_to_the_host(redis_url: str, time: Time) -> None:
    async with running_control_plane(redis_url, time, client_address_header="x-forwarded-for") as c:
        await put_account(redis_url, "ana")
        proxy = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        reply = await try_in(c, "ana", PASSWORD, **proxy)
        cookie = reply.headers["set-cookie"]
        assert cookie.startswith("__Host-unisono=")
        assert "Secure" in cookie.split("; ")
        assert "max-age=" in reply.headers["strict-transport-security"]
        pair = cookie.partition(";")[0]
        me = await c.http.get("/v1/me", headers=proxy | {"Cookie": pair})
        assert me.json()["name"] == "ana"
        # A cookie without the prefix could come from anywhere: over https it is not taken.
        plain = {"Cookie": pair.removeprefix("__Host-")}
        assert (await c.http.get("/v1/me", headers=proxy | plain)).status_code == 401


async def test_changes_by_cookie_need_the_csrf_token(cloud: ControlPlane) -> None:
    async with log_in(cloud, "ana") as ana, log_in(cloud, "ana") as other:
        path = "/v1/sites/lobby/enroll-tokens"
        for csrf in ("", "guess", other.me["csrf"]):
            assert code(await ana.send("POST", path, {}, csrf)) == (403, "bad_csrf")
            assert code(await ana.send("POST", "/v1/logout", None, csrf)) == (403, "bad_csrf")
        assert (await ana.http.get("/v1/me")).status_code == 200
        assert (await ana.send("POST", path, {})).status_code == 201


async def test_a_page_of_another_site_cannot_log_anybody_in(cloud: ControlPlane) -> None:
    crossed = {"Sec-Fetch-Site": "cross-site"}
    assert code(await try_in(cloud, "ana", PASSWORD, **crossed)) == (403, "bad_csrf")
    content = f'{{"name": "ana", "password": "{PASSWORD}"}}'
    plain = {"Content-Type": "text/plain"}
    reply = await cloud.http.post("/v1/login", content=content, headers=plain)
    assert code(reply) == (400, "malformed_json")
    assert (await try_in(cloud, "ana", PASSWORD, **{"Sec-Fetch-Site": "same-origin"})).is_success


async def test_who_is_unknown_wrong_or_disabled_hears_the_same(
    cloud: ControlPlane, redis_url: str
) -> None:
    await put_account(redis_url, "gone", disabled=True)
    replies = [
        await try_in(cloud, "ana"),
        await try_in(cloud, "nobody"),
        await try_in(cloud, "gone", PASSWORD),
        await try_in(cloud, "admin-token", PASSWORD),
    ]
    assert {code(reply) for reply in replies} == {(401, "bad_login")}
    assert len({reply.text for reply in replies}) == 1
    # They are counted, but do not crowd what happened out of the log.
    metrics = (await cloud.http.get("/metrics")).text
    assert 'unisono_control_events_total{site="-",event="login_failed"} 4' in metrics
    assert (await cloud.http.get("/v1/events", headers=ADMIN)).json()["events"] == []


async def test_a_login_is_over_after_its_time(cloud: ControlPlane, time: Time) -> None:
    async with log_in(cloud, "ana") as ana:
        time.ms += LOGIN_MS - 1
        assert (await ana.http.get("/v1/me")).status_code == 200
        time.ms += 1
        assert code(await ana.http.get("/v1/me")) == (401, "login_over")


async def test_logging_in_again_ends_the_login_before(cloud: ControlPlane) -> None:
    async with log_in(cloud, "ana") as ana:
        before = dict(ana.http.cookies)
        body = {"name": "ana", "password": PASSWORD}
        assert (await ana.http.post("/v1/login", json=body)).status_code == 200
        assert (await ana.http.get("/v1/me")).status_code == 200
        ana.http.cookies.update(before)
        assert (await ana.http.get("/v1/me")).status_code == 401


async def test_a_new_password_ends_every_other_login(cloud: ControlPlane, redis_url: str) -> None:
    async with log_in(cloud, "ana") as ana, log_in(cloud, "ana") as elsewhere:
        path, new = "/v1/me/password", "another long password"
        wrong = await ana.send("POST", path, {"old": "wrong", "new": new})
        assert code(wrong) == (403, "bad_login")
        short = await ana.send("POST", path, {"old": PASSWORD, "new": "short"})
        assert code(short) == (422, "bad_field")
        changed = await ana.send("POST", path, {"old": PASSWORD, "new": new})
        assert changed.status_code == 200, changed.text
        assert changed.json()["csrf"] != ana.me["csrf"]
        assert (await ana.http.get("/v1/me")).json() == changed.json()
        assert code(await elsewhere.http.get("/v1/me")) == (401, "login_over")
    assert code(await try_in(cloud, "ana", PASSWORD)) == (401, "bad_login")
    assert (await try_in(cloud, "ana", new)).is_success
    by_token = await cloud.http.post(path, json={"old": "x", "new": new}, headers=ADMIN)
    assert code(by_token) == (409, "no_login")


async def test_tries_are_limited_by_name_and_address(
    redis_url: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_passwords_cheap(monkeypatch)
    most = throttle.LOGIN_PAIR.calls
    async with running_control_plane(redis_url, time, client_address_header=BY) as cloud:
        await put_account(redis_url, "ana")
        here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
        replies = [await try_in(cloud, "ana", **here) for _ in range(most + 1)]
        assert {code(reply) for reply in replies[:-1]} == {(401, "bad_login")}
        assert code(replies[-1]) == (429, "too_many_tries")
        # The right password comes too late as well from there, but nobody is kept out elsewhere.
        assert code(await try_in(cloud, "ana", PASSWORD, **here)) == (429, "too_many_tries")
        assert (await try_in(cloud, "ana", PASSWORD, **there)).is_success
        wait_s = int(replies[-1].headers["retry-after"])
        assert 0 < wait_s <= throttle.LOGIN_PAIR.window_ms / 1000
        time.ms += wait_s * 1000
        assert (await try_in(cloud, "ana", PASSWORD, **here)).is_success


async def test_tries_are_limited_by_name_however_many_addresses_there_are(
    redis_url: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_passwords_cheap(monkeypatch)
    async with running_control_plane(redis_url, time, client_address_header=BY) as cloud:
        statuses = [
            (
                await cloud.http.post(
                    "/v1/login",
                    json={"name": "ghost", "password": "wrong"},
                    headers={"X-Forwarded-For": f"192.0.2.{n // 5}"},
                )
            ).status_code
            for n in range(throttle.LOGIN_NAME.calls + 1)
        ]
    assert statuses == [401] * throttle.LOGIN_NAME.calls + [429]


async def test_whoever_guesses_at_a_name_does_not_hinder_a_change_of_its_password(
    cloud: ControlPlane,
) -> None:
    path, new = "/v1/me/password", "another long password"
    async with log_in(cloud, "ana") as ana:
        for _ in range(throttle.LOGIN_PAIR.calls):
            await try_in(cloud, "ana")
        assert code(await try_in(cloud, "ana")) == (429, "too_many_tries")
        for _ in range(throttle.OWN_PASSWORD.calls - 1):
            wrong = await ana.send("POST", path, {"old": "wrong", "new": new})
            assert code(wrong) == (403, "bad_login")
        assert (await ana.send("POST", path, {"old": PASSWORD, "new": new})).is_success


async def test_guesses_at_ones_own_password_are_limited(cloud: ControlPlane) -> None:
    body = {"old": "wrong", "new": "another long password"}
    async with log_in(cloud, "ana") as ana:
        replies = [
            code(await ana.send("POST", "/v1/me/password", body))
            for _ in range(throttle.OWN_PASSWORD.calls + 1)
        ]
    assert replies == [(403, "bad_login")] * throttle.OWN_PASSWORD.calls + [(429, "too_many_tries")]


async def test_a_login_that_is_no_json_counts_as_a_try(cloud: ControlPlane) -> None:
    json = {"Content-Type": "application/json"}
    statuses = [
        (await cloud.http.post("/v1/login", content=b"{", headers=json)).status_code
        for _ in range(throttle.LOGIN_ADDRESS.calls + 1)
    ]
    assert statuses == [400] * throttle.LOGIN_ADDRESS.calls + [429]


async def test_tries_are_limited_by_address(
    redis_url: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_passwords_cheap(monkeypatch)
    most = throttle.LOGIN_ADDRESS.calls

    async def tries(plane: ControlPlane, n: int, address: str) -> httpx.Response:
        name = f"name-{n % 25}"  # below the limit of each name
        return await try_in(plane, name, **{"X-Forwarded-For": address})

    async with running_control_plane(redis_url, time, client_address_header="x-forwarded-for") as c:
        for n in range(most):
            # One network of IPv6 is one caller.
            assert (await tries(c, n, f"2001:db8::{n}, 10.0.0.1")).status_code == 401
        assert code(await tries(c, 0, "2001:db8::ffff")) == (429, "too_many_tries")
        assert (await tries(c, 0, "2001:db8:0:1::1")).status_code == 401


async def test_without_a_proxy_nobody_can_make_up_an_address(redis_url: str, time: Time) -> None:
    async with running_control_plane(redis_url, time) as plane:
        codes = [
            (
                await plane.http.get("/v1/me", headers={"X-Forwarded-For": f"192.0.2.{n}"})
            ).status_code
            for n in range(throttle.ADDRESS.calls + 1)
        ]
    assert codes == [401] * throttle.ADDRESS.calls + [429]
