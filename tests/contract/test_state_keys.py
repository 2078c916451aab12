"""The table of keys on a real server: TTLs, slots, and what a device's call costs there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from tests.support.redis_server import RedisServer
from tests.support.site_records import NOW_MS, REPORT, SITE, STATUS, ended, record
from unisono.core.commands import prepare
from unisono.core.site_document import Decision, SiteDocument, SiteEvent
from unisono.state import DocumentStore, RedisStore, keys
from unisono.state.account_documents import keep_login
from unisono.state.documents import Batch
from unisono.state.keys import Key, cloud_key
from unisono.state.records import (
    Account,
    AccountRole,
    Ack,
    Delivered,
    DeviceRecord,
    DriftPoint,
    EnrolToken,
    Login,
    TelemetryItem,
)
from unisono.state.redis_link import ServerLink

LATEST_MS = 60_000  # between a write and the look at its TTL


@pytest.fixture(params=["redis_itself", "redis_server"])
def server(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client of the server that the store works on."""
    found: RedisServer = request.getfixturevalue(request.param)
    found.flush()
    client = redis.Redis(unix_socket_path=str(found.socket), decode_responses=True)
    yield client
    client.close()


@pytest.fixture
async def store(request: pytest.FixtureRequest, server: redis.Redis) -> Any:
    path = server.connection_pool.connection_kwargs["path"]
    made = DocumentStore(RedisStore(f"unix://{path}?db=0"), "test")
    yield made
    await made.close()


async def fill(store: DocumentStore) -> None:
    """Write every key there is, as the control plane does."""
    await store.add_tokens(SITE, {"00": EnrolToken(None)}, now_ms=NOW_MS)
    assert await store.put_account("eva", Account("eva", AccountRole.ADMIN, "..."), None)
    batch = store.batch()
    keep_login(batch, "d1", Login("eva", "csrf", NOW_MS, "00"))
    assert await store.settle(batch)
    batch = store.batch(SITE)
    batch.happened(SiteEvent("fault", NOW_MS, device_id="a"))
    batch.happened(SiteEvent("flags_changed", NOW_MS, who="eva"))
    batch.put(keys.DEVICES, "a", DeviceRecord("a", "00", NOW_MS))
    batch.put(keys.REPORTS, "a", REPORT)
    batch.put(keys.STATUSES, "a", STATUS)
    batch.put(keys.SEEN, "a", NOW_MS)
    batch.put(keys.ACKS, "a", Ack("c", "done", "", NOW_MS))
    batch.put(keys.DELIVERED, "a", Delivered({"q": 1}))
    batch.add(keys.PROGRESS, "s1 7 done")
    batch.add(keys.RATE, "a", part="5")
    batch.add(keys.REQUESTS, "heartbeat 200")
    batch.add(keys.CPU, "heartbeat", 5)
    batch.append(keys.DRIFT_LOG, NOW_MS, DriftPoint(0.0, 0.0, "lan", 1), part="a")
    batch.append(keys.TELEMETRY_LOG, NOW_MS, TelemetryItem("q", 1, NOW_MS), part="a")
    made = Decision(
        SiteDocument(7, (record(),)),
        (("a", prepare(record().spec, 7, NOW_MS)),),
        (ended(record("s0")),),
        (SiteEvent("session_created", NOW_MS),),
    )
    view = await store.device_view(SITE, "a", now_ms=NOW_MS, window=5)
    assert await store.settle(batch, view=view, decision=made)


def row_of(key: str) -> Key:
    """The row of the table that a key was made of."""
    part = {"SESSION": "s0", "DEVICE": "a", "DATE": r"\d{8}", "WINDOW": "5", "DIGEST": "d1"}

    def pattern(row: Key) -> str:
        site = "-" if row in {keys.ACCOUNTS, keys.LOGIN} else "lobby"
        name = re.escape(row.name).replace(r"\{site\}", rf"\{{{site}\}}")
        for word, meaning in part.items():
            name = name.replace(word, meaning)
        return f"test:{name}"

    (row,) = [row for row in keys.CLOUD_KEYS if re.fullmatch(pattern(row), key)]
    return row


async def test_what_may_be_forgotten_has_a_ttl_and_nothing_else(
    store: DocumentStore, server: redis.Redis
) -> None:
    await fill(store)
    found = {key: row_of(key) for key in server.scan_iter()}
    assert set(found.values()) == set(keys.CLOUD_KEYS)
    for key, row in found.items():
        left_ms = server.pttl(key)
        assert server.type(key) == ("zset" if row.keep else "hash"), key
        if row.ttl_ms is None:
            assert left_ms == -1, key
        else:
            assert row.ttl_ms - LATEST_MS < left_ms <= row.ttl_ms, key
    await store.bump(SITE, "eva", 9, 3_000)
    assert 0 < server.pttl("test:{lobby}:rate:9") <= 3_000


def test_every_key_has_a_row_and_a_name_of_its_own() -> None:
    device = [keys.device_key(row) for row in keys.DEVICE_KEYS]
    cloud = [cloud_key("p", row, "lobby", "x") for row in keys.CLOUD_KEYS]
    assert len(set(device)) == len(device)
    assert len(set(cloud)) == len(cloud)
    assert not any(
        word in key for key in cloud + device for word in ("DEVICE", "SESSION", "DATE", "DIGEST")
    )


@pytest.mark.parametrize("site", ["lobby", "-", "a", "A_b-1"])
def test_the_keys_of_a_site_share_a_slot(site: str) -> None:
    rows = [row for row in keys.CLOUD_KEYS if row != keys.SITES]
    parts = ("", "x", "{y}", "20260528")
    slots = {key_slot(cloud_key("p", row, site, part).encode()) for row in rows for part in parts}
    assert slots == {key_slot(site.encode())}


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the server's replies were, one number a round trip."""
    sizes: list[int] = []
    send = ServerLink.send

    async def measured(self: ServerLink, words: list[Any], *, repeatable: bool) -> Any:
        reply = await send(self, words, repeatable=repeatable)
        sizes.append(size_of(reply))
        return reply

    monkeypatch.setattr(ServerLink, "send", measured)
    return sizes


def size_of(reply: Any) -> int:
    """Bytes and elements of a reply, however deep."""
    if isinstance(reply, list):
        return 1 + sum(size_of(part) for part in reply)
    return 1 + len(reply) if isinstance(reply, bytes) else 1


async def one_call(store: DocumentStore, *, everyone: bool = False) -> None:
    view = await store.device_view(SITE, "d5", now_ms=NOW_MS, window=5, everyone=everyone)
    batch: Batch = store.batch(SITE)
    batch.put(keys.SEEN, "d5", NOW_MS)
    batch.add(keys.REQUESTS, "heartbeat 200")
    made = Decision(SiteDocument(view.version + 1, (record(),)))
    assert await store.settle(batch, view=view, decision=made)


async def test_a_call_is_two_scripts_however_many_devices_there_are(
    store: DocumentStore, server: redis.Redis, replies: list[int]
) -> None:
    sizes = []
    for count in (10, 1000):
        batch = store.batch(SITE)
        for number in range(count):
            name = f"d{number}"
            batch.put(keys.DEVICES, name, DeviceRecord(name, "00", NOW_MS))
            batch.put(keys.REPORTS, name, REPORT)
            batch.put(keys.STATUSES, name, STATUS)
            batch.put(keys.SEEN, name, NOW_MS)
            batch.put(keys.ACKS, name, Ack("c", "done", "", NOW_MS))
        # A document of the same size, and nobody has to look after its session.
        view = await store.device_view(SITE, "d5", now_ms=NOW_MS, window=5)
        batch.put(keys.LEADS, "s1", NOW_MS)
        made = Decision(SiteDocument(view.version + 10, (record(revision=count),)))
        assert await store.settle(batch, view=view, decision=made)
        await store.device_view(SITE, "d5", now_ms=NOW_MS, window=5)
        await come_to_rest(store)
        sizes.append(await measured_call(store, server, replies))
    assert sizes[0] == sizes[1]
    # The other devices are read when they are asked for: then it does matter how many there are.
    replies.clear()
    await one_call(store, everyone=True)
    assert len(replies) == 2
    assert replies[0] > 100 * sizes[0]


async def come_to_rest(store: DocumentStore) -> None:
    """Let the server learn both scripts, and set the version and the leads to a known length."""
    view = await store.device_view(SITE, "d5", now_ms=NOW_MS, window=5)
    batch = store.batch(SITE)
    batch.put(keys.LEADS, "s1", NOW_MS)
    made = Decision(SiteDocument(5, (record(),)))
    assert await store.settle(batch, view=view, decision=made)


async def measured_call(store: DocumentStore, server: redis.Redis, replies: list[int]) -> int:
    """The size of the view's reply, of a call that took two scripts and nothing else."""
    server.config_resetstat()
    replies.clear()
    await one_call(store)
    stats: dict[str, Any] = server.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 2
    assert "cmdstat_eval" not in stats
    assert len(replies) == 2
    return replies[0]
