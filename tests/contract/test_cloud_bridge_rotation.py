"""Another secret for a device: fetched, kept, used; and what is good when something dies."""

import asyncio
import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from services.cloud_bridge.identity import Identity
from tests.support.bridge_link import SECRET, SPEC, linked, term_of
from tests.support.fake_cloud import KEY, FakeCloud, fake_cloud, http, ok, signed
from tests.support.waiting import until
from unisono.core.commands import prepare
from unisono.state import LocalState, MemoryStore, StateUnavailable
from unisono.state import keys as table
from unisono.state.local import KeptSecret
from unisono.state.store import Fields

DENIED = http("401 Unauthorized", b'{"error": {"message": "wrong secret"}}')


class RotatingCloud:
    """A control plane's side of a rotation: both secrets are good until the new one is used."""

    def __init__(self, good: str = SECRET) -> None:
        self.good = good
        self.next = ""
        self.given = 0
        self.asks = True
        self.commands: list[dict[str, Any]] = []
        self.cloud: FakeCloud | None = None

    async def answer(self, _method: str, path: str, writer: asyncio.StreamWriter) -> None:
        assert self.cloud is not None
        secret = self.cloud.bearers[-1].partition(".")[2]
        if secret == self.next:
            self.good, self.next = self.next, ""
        if secret != self.good:
            writer.write(DENIED)
        elif path.endswith("/rotate"):
            self.given += 1
            self.next, self.asks = f"lobby.given-out-secret-{self.given}", False
            writer.write(ok({"secret": self.next}))
        else:
            found = [signed(body, "screen-1") for body in self.commands]
            body = {"server_time_ms": 1, "rotate": self.asks, "commands": found}
            writer.write(ok(body))


async def kept(store: MemoryStore) -> KeptSecret | None:
    return await LocalState(store).kept_secret()


async def test_a_new_secret_is_kept_and_used_for_calls_commands_and_the_next_start() -> None:
    store, plane = MemoryStore(), RotatingCloud()
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(lambda: plane.good != SECRET and link.connected())
            assert plane.good == "lobby.given-out-secret-1"
            held = await kept(store)
            assert held is not None
            assert (held.secret, held.before) == (plane.good, SECRET)
            plane.commands = [msgspec.to_builtins(prepare(SPEC, 80, 1))]
            await until(lambda: term_of(link) == 2)
            assert link.count("rotate 200") == 1
        cloud.bearers.clear()
        async with linked(cloud.url, store=store) as link:
            await until(link.connected)
        assert set(cloud.bearers) == {f"screen-1.{plane.good}"}


async def test_while_a_new_secret_cannot_be_kept_none_is_fetched() -> None:
    store, plane = MemoryStore(), RotatingCloud()
    store.available = False
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(lambda: link.count("heartbeat 200") >= 3)
            assert plane.given == 0
            store.available = True
            await until(lambda: plane.good != SECRET)


class Forgetful(MemoryStore):
    """A store whose disk is full: it reads, but it does not write."""

    full = True

    async def write(self, writes: Any) -> None:
        """Fail while it is full."""
        if self.full:
            raise StateUnavailable("the disk is full")
        await super().write(writes)


async def test_a_secret_that_could_not_be_kept_is_never_used() -> None:
    store, plane = Forgetful(), RotatingCloud()
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(lambda: plane.given == 1 and link.count("heartbeat 200") >= 3)
            assert plane.good == SECRET
            store.full = False
            plane.asks = True
            await until(lambda: plane.good == "lobby.given-out-secret-2")
        assert "lobby.given-out-secret-1" not in "".join(cloud.bearers)


@pytest.mark.parametrize("good", ["lobby.the-kept-secret", "lobby.the-one-before", SECRET])
async def test_whichever_of_the_known_secrets_is_good_is_found_at_once(good: str) -> None:
    store, plane = MemoryStore(), RotatingCloud(good)
    plane.asks = False
    held = KeptSecret("lobby.the-kept-secret", "lobby.the-one-before", digest(SECRET))
    await LocalState(store).put_kept_secret(held)
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(link.connected, 3)
            assert link.identity.secret == good


async def test_when_all_are_refused_each_is_tried_and_then_there_is_quiet() -> None:
    store, plane = MemoryStore(), RotatingCloud("nobody has it")
    held = KeptSecret("lobby.the-kept-secret", SECRET, digest(SECRET))
    await LocalState(store).put_kept_secret(held)
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            calls = ("heartbeat 401", "status 401", "commands 401")
            await until(lambda: all(link.count(name) for name in calls))
            beats = len(link.stats)
            await until(lambda: len(link.stats) > beats + 10)
            assert sum(link.count(name) for name in calls) <= 3 * len(calls)
            assert len(set(cloud.bearers)) == 2


async def test_enrolled_anew_the_kept_secret_is_ignored() -> None:
    store, plane = MemoryStore(), RotatingCloud()
    plane.asks = False
    held = KeptSecret("lobby.the-kept-secret", "lobby.the-one-before", digest("another"))
    await LocalState(store).put_kept_secret(held)
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(link.connected)
        assert set(cloud.bearers) == {f"screen-1.{SECRET}"}


async def test_a_kept_secret_that_is_read_late_is_used_at_once() -> None:
    store, plane = MemoryStore(), RotatingCloud("lobby.the-kept-secret")
    plane.asks = False
    held = KeptSecret("lobby.the-kept-secret", SECRET, digest(SECRET))
    await LocalState(store).put_kept_secret(held)
    store.available = False
    async with fake_cloud(plane.answer) as cloud:
        plane.cloud = cloud
        async with linked(cloud.url, store=store) as link:
            await until(lambda: link.count("heartbeat 401"))
            store.available = True
            await until(link.connected, 3)  # and not after the half minute of a refused secret


@pytest.mark.parametrize(
    "secret", ["short", "with a blank in it, sir", "line\nbreaks-are-worse", 7]
)
async def test_an_unfit_secret_is_not_taken(secret: object) -> None:
    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        body = {"secret": secret} if path.endswith("/rotate") else {"rotate": True, "commands": []}
        writer.write(ok({"server_time_ms": 1} | body))

    store = MemoryStore()
    async with fake_cloud(answer) as cloud, linked(cloud.url, store=store) as link:
        await until(lambda: link.count("heartbeat 200") >= 2 and link.count("rotate 200") < 2)
        assert link.identity.secret == SECRET
    assert await kept(store) is None


async def test_a_kept_secret_comes_back_as_it_was(redis_url: str) -> None:
    first, second = LocalState(redis_url), LocalState(redis_url)
    assert await first.kept_secret() is None
    held = KeptSecret("lobby.the-kept-secret", SECRET, digest(SECRET))
    await first.put_kept_secret(held)
    assert await second.kept_secret() == held
    await first.close()
    await second.close()


async def test_the_kept_secret_shows_in_no_log_and_is_kept_for_ever() -> None:
    store, held = MemoryStore(), KeptSecret("lobby.hunter2", "lobby.hunter1", digest(SECRET))
    await LocalState(store).put_kept_secret(held)
    assert "hunter" not in repr(held)
    (fields,) = await store.read([Fields(table.device_key(table.IDENTITY))])
    assert json.loads(fields["identity"])["secret"] == "lobby.hunter2"
    assert table.IDENTITY.ttl_ms is None


def test_the_order_in_which_secrets_are_tried() -> None:
    identity = Identity("screen-1", f"lobby.a.{KEY}")
    assert not identity.refused("lobby.a")
    identity._take("c", "b")
    tried = []
    for _ in range(3):
        tried.append(identity.secret)
        more = identity.refused(identity.secret)
    assert (tried, more) == (["c", "b", "lobby.a"], False)
    assert identity.refused("lobby.a")  # by a call that began with it
    assert identity.secret == "c"
    identity.accepted()
    assert identity.refused("c")


def digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
