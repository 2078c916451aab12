"""The control plane's documents, over the server and over memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from services.control_plane.app import create_app
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import FILM, OPERATOR, OPERATOR_TOKEN, as_device
from unisono.core import control_session
from unisono.core.commands import prepare
from unisono.core.session import Member
from unisono.core.site_document import Decision, KnownDevice, NewSession, SiteDocument
from unisono.core.timeline import MediaItem, Playlist
from unisono.state import DocumentStore, MemoryStore, RedisStore, Store, keys
from unisono.state.records import Ack, DeviceRecord, EnrolToken
from unisono.state.store import Fields, Guard, SetFields, Write

NOW_MS = 1_780_000_000_000
PLACE = Member("a", "10.0.0.1", 1, 2)


@pytest.fixture(params=["redis", "memory"])
async def raw(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    redis = request.param == "redis"
    made: Store = RedisStore(request.getfixturevalue("redis_url")) if redis else MemoryStore()
    yield made
    await made.close()


@pytest.fixture
def store(raw: Store) -> DocumentStore:
    return DocumentStore(raw, "test")


def created(site: SiteDocument, session_id: str = "lobby-1") -> Decision:
    new = NewSession(
        session_id,
        "00ff",
        ("a",),
        Playlist((MediaItem("film.mp4", 1_000_000_000),)),
        start_delay_ms=0,
        lease_ms=1000,
        replace=True,
    )
    return control_session.create(site, new, {"a": KnownDevice("a", PLACE, NOW_MS)}, now_ms=NOW_MS)


async def test_a_decision_is_committed_once(store: DocumentStore, raw: Store) -> None:
    empty = await store.device_view("lobby", "a")
    assert (empty.version, empty.site, empty.record) == (0, SiteDocument(), None)
    decision = created(empty.site)
    assert await store.commit("lobby", empty.version, decision)
    assert not await store.commit("lobby", empty.version, created(empty.site, "lobby-2"))
    view = await store.device_view("lobby", "a")
    assert (view.version, view.site) == (1, decision.site)
    assert view.queue == (decision.commands[0][1],)
    replaced = created(view.site, "lobby-2")
    assert await store.commit("lobby", view.version, replaced)
    ended = await store.ended("lobby", "lobby-1")
    assert ended is not None
    assert ended.end_reason == "replaced by lobby-2"
    # What is kept of it for a month has no secret in it.
    (kept,) = await raw.read([Fields("test:{lobby}:ended:lobby-1")])
    assert b'"secret_hex":""' in kept["d"]
    assert await store.ended("lobby", "lobby-2") is None
    events = (await store.site_view("lobby")).events
    assert events == {"session_created": 2, "session_replaced": 1}


async def test_sites_do_not_see_each_other(store: DocumentStore) -> None:
    await store.add_tokens("lobby", {"x": EnrolToken(None)}, now_ms=NOW_MS)
    assert await store.commit("lobby", 0, created(SiteDocument()))
    assert await store.sites() == ["lobby"]
    other = await store.site_view("hall")
    assert (other.exists, other.site) == (False, SiteDocument())
    assert (await store.site_view("lobby")).exists


@pytest.mark.parametrize("expires_ms", [None, NOW_MS + 1])
async def test_a_token_enrols_one_device(store: DocumentStore, expires_ms: int | None) -> None:
    token, record = EnrolToken(expires_ms), DeviceRecord("a", "00", NOW_MS)
    await store.add_tokens("lobby", {"x": token, "y": token}, now_ms=NOW_MS)
    tried = await asyncio.gather(*(store.enrol("lobby", "x", token, record) for _ in range(5)))
    assert sorted(tried) == [False] * 4 + [True]
    # A spent token that would expire is forgotten; one of the settings has to be remembered.
    spent = EnrolToken(None, "a") if expires_ms is None else None
    assert await store.token("lobby", "x") == spent
    # The id is taken, and the second token is not spent by the attempt.
    assert not await store.enrol("lobby", "y", token, record)
    assert await store.token("lobby", "y") == token
    assert (await store.device_view("lobby", "a")).record == record


async def test_tokens_that_expired_are_forgotten(store: DocumentStore) -> None:
    old, good, always = EnrolToken(NOW_MS), EnrolToken(NOW_MS + 1), EnrolToken(None)
    tokens = {"old": old, "good": good, "always": always}
    await store.add_tokens("lobby", tokens, now_ms=NOW_MS - 1)
    await store.add_tokens("lobby", {"new": good}, now_ms=NOW_MS)
    assert await store.token("lobby", "old") is None
    for name, token in {"good": good, "always": always, "new": good}.items():
        assert await store.token("lobby", name) == token


async def test_a_batch_writes_queues_acks_and_counters(store: DocumentStore) -> None:
    spec = created(SiteDocument()).site.sessions[0].spec
    one, two = prepare(spec, 5, NOW_MS), prepare(spec, 6, NOW_MS)
    batch = store.batch("lobby")
    batch.enqueue([("a", one), ("a", two), ("a", one)])
    batch.put(keys.ACKS, "a", Ack("c", "done", "", NOW_MS))
    batch.put(keys.ACKS, "b", Ack("c", "failed", "", NOW_MS))
    batch.put(keys.SEEN, "a", NOW_MS)
    batch.count(keys.REQUESTS, "heartbeat 200")
    batch.drop(keys.QUEUE, [], "a")
    await store.apply(batch)
    view = await store.device_view("lobby", "a")
    assert sorted(command.seq for command in view.queue) == [5, 6]
    assert view.ack is None
    with_ack = await store.device_view("lobby", "a", with_ack=True)
    assert with_ack.ack == Ack("c", "done", "", NOW_MS)
    assert view.seen_ms == {"a": NOW_MS}
    batch = store.batch("lobby")
    batch.drop(keys.QUEUE, [one.command_id], "a")
    await store.apply(batch)
    assert (await store.device_view("lobby", "a")).queue == (two,)
    assert (await store.site_view("lobby")).requests == {"heartbeat 200": 1}


async def test_a_damaged_document_is_made_anew(store: DocumentStore, raw: Store) -> None:
    assert await store.commit("lobby", 0, created(SiteDocument()))
    await raw.write([SetFields("test:{lobby}:site", {"d": b"\xff"})])
    view = await store.device_view("lobby", "a")
    assert (view.version, view.site) == (1, SiteDocument())
    assert await store.commit("lobby", 1, created(view.site))


class Counted:
    """A store that counts its round trips."""

    def __init__(self, store: Store) -> None:
        self.trips = 0
        self._store = store

    async def read(self, reads: Sequence[Fields]) -> list[dict[str, bytes]]:
        self.trips += 1
        return await self._store.read(reads)

    async def write(self, writes: Sequence[Write]) -> None:
        self.trips += 1
        await self._store.write(writes)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        self.trips += 1
        return await self._store.commit(guards, writes)

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        await self._store.close()


async def test_a_device_call_costs_two_round_trips(raw: Store) -> None:
    counted = Counted(raw)
    app = create_app(ControlSettings(operator_token=OPERATOR_TOKEN), DocumentStore(counted))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as http:
        made = await http.post("/v1/sites/lobby/enroll-tokens", json={}, headers=OPERATOR)
        token = made.json()["tokens"][0]
        enrolled = await http.post("/v1/device/enroll", json={"token": token, "device_id": "a"})
        header = as_device(f"a.{enrolled.json()['secret']}")
        place: dict[str, Any] = {"address": "10.0.0.1", "beacon_port": 1, "probe_port": 2}
        place |= {"interval_s": 5.0, "boot_id": "b-1"}
        beat = await http.post("/v1/device/heartbeat", json=place, headers=header)
        assert beat.status_code == 200
        body = {"site": "lobby", "playlist": [FILM]}
        session = await http.post("/v1/sessions", json=body, headers=OPERATOR)
        assert session.status_code == 201
        revision = session.json()["revision"]
        ack = f"/v1/device/commands/{session.json()['session_id']}.{revision}.prepare/ack"
        held = {"session_id": session.json()["session_id"], "term": 1, "revision": revision}
        for method, path, content in (
            ("GET", "/v1/device/commands", None),
            ("POST", ack, {"outcome": "done"}),
            ("POST", "/v1/device/heartbeat", place | held),
            ("POST", "/v1/device/heartbeat", place),
            ("POST", "/v1/sync/status/runtime", {}),
        ):
            counted.trips = 0
            reply = await http.request(method, path, json=content, headers=header)
            assert reply.status_code == 200, reply.text
            assert counted.trips == 2, path
