"""A device's own state, over the server and over memory."""

from collections.abc import AsyncIterator

import pytest

from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import OwnNs
from unisono.state import LocalState, MemoryStore, Outcome, RedisStore, StateUnavailable, Store
from unisono.state import keys as table
from unisono.state.codec import damaged
from unisono.state.local import OUTCOMES_LIMIT, TELEMETRY_LIMIT
from unisono.state.store import SetFields

SPEC = SessionSpec(
    session_id="lobby-1",
    term=3,
    master_device_id="a",
    members=(Member("a", "127.0.0.1", 1, 2), Member("b", "127.0.0.1", 3, 4)),
    playlist=Playlist((MediaItem("film.mp4", 60_000_000_000, "f"),)),
    start_at_ms=1_780_000_000_000,
    secret_hex="00ff",
    flags={"SYNC_LAN_ENABLED": "1"},
)


@pytest.fixture(params=["redis", "memory"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    redis = request.param == "redis"
    made: Store = RedisStore(request.getfixturevalue("redis_url")) if redis else MemoryStore()
    yield made
    await made.close()


@pytest.fixture
def state(store: Store) -> LocalState:
    return LocalState(store)


async def test_desired_comes_back_as_it_was(state: LocalState, store: Store) -> None:
    assert await state.desired() is None
    await state.put_desired(Desired(7, SPEC))
    assert await LocalState(store).desired() == Desired(7, SPEC)
    await state.put_desired(Desired(8, None))
    assert await state.desired() == Desired(8, None)


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"{}", b'{"revision":"x","session":null}'])
async def test_garbage_counts_as_absent(state: LocalState, store: Store, garbage: bytes) -> None:
    key = table.device_key(table.DESIRED)
    await store.write([SetFields(key, {"desired": garbage})])
    before = damaged["desired"]
    assert await state.desired() is None
    assert damaged["desired"] == before + 1
    await state.put_desired(Desired(9, None))
    assert await state.desired() == Desired(9, None)


async def test_seq_ceilings_belong_to_a_term(state: LocalState) -> None:
    assert await state.seq_ceiling("s", 1) == 0
    await state.put_seq_ceiling("s", 1, 1200)
    await state.put_seq_ceiling("s", 2, 10)
    assert await state.seq_ceiling("s", 1) == 1200
    assert await state.seq_ceiling("s", 2) == 10
    assert await state.seq_ceiling("t", 1) == 0


async def test_the_timeline_belongs_to_a_session(state: LocalState) -> None:
    assert await state.timeline_origin("s") is None
    await state.put_timeline_origin("s", OwnNs(123_456_789_012_345_678), "boot-1")
    origin = await state.timeline_origin("s")
    assert origin == (123_456_789_012_345_678, "boot-1")
    assert origin is not None
    assert origin.boot_id == "boot-1"
    assert await state.timeline_origin("t") is None


async def test_outcomes_are_remembered_up_to_a_limit(state: LocalState) -> None:
    assert await state.outcomes() == {}
    for number in range(OUTCOMES_LIMIT + 3):
        await state.put_outcome(f"c{number}", Outcome("done", "", number))
    kept = await state.outcomes()
    assert len(kept) == OUTCOMES_LIMIT
    assert "c2" not in kept
    assert kept["c3"] == Outcome("done", "", 3)


async def test_telemetry_waits_in_order_and_is_bounded(state: LocalState) -> None:
    await state.queue_telemetry({10: b"ten", 9: b"nine"})
    await state.queue_telemetry({11: b"eleven"})
    assert list((await state.telemetry()).items()) == [(9, b"nine"), (10, b"ten"), (11, b"eleven")]
    await state.drop_telemetry((9, 10, 99))
    assert await state.telemetry() == {11: b"eleven"}
    await state.queue_telemetry({100 + n: b"" for n in range(TELEMETRY_LIMIT)})
    kept = list(await state.telemetry())
    assert len(kept) == TELEMETRY_LIMIT
    assert kept[0] == 100


async def test_counters_belong_to_their_owner(state: LocalState) -> None:
    await state.add_counters("beacon", {"sent": 5, "lost": 1})
    await state.add_counters("beacon", {"sent": 2})
    await state.add_counters("corrector", {"seeks": 1})
    assert await state.counters("beacon") == {"sent": 7, "lost": 1}
    assert await state.counters("corrector") == {"seeks": 1}
    assert await state.counters("exporter") == {}


async def test_a_server_that_is_away() -> None:
    store = MemoryStore()
    state = LocalState(store)
    await state.put_desired(Desired(1, None))
    store.available = False
    with pytest.raises(StateUnavailable):
        await state.desired()
    store.available = True
    assert await state.desired() == Desired(1, None)


async def test_a_url_opens_the_server(redis_url: str) -> None:
    first, second = LocalState(redis_url), LocalState(redis_url)
    await first.put_desired(Desired(5, SPEC))
    assert await second.desired() == Desired(5, SPEC)
    await first.close()
    await second.close()


def test_every_key_has_a_row_and_a_name_of_its_own() -> None:
    device = [table.device_key(row, "x") for row in table.DEVICE_KEYS]
    cloud = [table.cloud_key("p", row, "lobby", "x") for row in table.CLOUD_KEYS]
    assert len(set(device)) == len(device)
    assert len(set(cloud)) == len(cloud)
    assert all("{lobby}" in key for key in cloud if key != "p:sites")
    assert not any(word in key for key in cloud + device for word in ("OWNER", "DEVICE", "SESSION"))
