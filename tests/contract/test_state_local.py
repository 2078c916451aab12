"""A device's own state, over each kind of store."""

from dataclasses import replace

import pytest

from unisono.core.clockmap import ClockMap
from unisono.core.keptclock import KeptClock
from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import OwnNs
from unisono.state import LocalState, MemoryStore, Outcome, StateUnavailable, Store
from unisono.state import keys as table
from unisono.state.codec import damaged, encode
from unisono.state.local import OUTCOMES_LIMIT
from unisono.state.store import Fields, SetFields

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


@pytest.fixture
def store(raw: Store) -> Store:
    return raw


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


async def fields_of(store: Store, row: table.Key) -> set[str]:
    (held,) = await store.read([Fields(table.device_key(row))])
    return set(held)


async def test_seq_ceilings_belong_to_a_term(state: LocalState, store: Store) -> None:
    assert await state.seq_ceiling("s", 1) == 0
    await state.put_seq_ceiling("s", 1, 1200)
    assert await state.seq_ceiling("s", 1) == 1200
    assert await state.seq_ceiling("s", 2) == 0
    assert await state.seq_ceiling("t", 1) == 0
    # Only the last term is kept: over the years there are many.
    for session_id, term in (("s", 2), ("t", 1), ("t", 2)):
        await state.put_seq_ceiling(session_id, term, 10)
        await state.put_seq_ceiling(session_id, term, 20)
    assert await state.seq_ceiling("t", 2) == 20
    assert await fields_of(store, table.SEQ) == {"t/2"}


async def test_the_timeline_belongs_to_a_session(state: LocalState, store: Store) -> None:
    assert await state.timeline_origin("s") is None
    await state.put_timeline_origin("s", OwnNs(123_456_789_012_345_678), "boot-1")
    origin = await state.timeline_origin("s")
    assert origin == (123_456_789_012_345_678, "boot-1")
    assert origin is not None
    assert origin.boot_id == "boot-1"
    assert await state.timeline_origin("t") is None
    await state.put_timeline_origin("t", OwnNs(1), "boot-1")
    assert await fields_of(store, table.TIMELINE) == {"t"}


KEPT = KeptClock("s", 3, "a", "00" * 8, "ff" * 8, ClockMap(OwnNs(10**17), -(10**18), -7, 9, 1_000))


async def test_the_clock_comes_back_as_it_was_and_is_not_kept_for_ever(
    state: LocalState, store: Store
) -> None:
    assert await state.kept_clock() is None
    await state.put_kept_clock(KEPT)
    assert await LocalState(store).kept_clock() == KEPT
    later = replace(KEPT, term=4)
    await state.put_kept_clock(later)
    assert await state.kept_clock() == later
    assert table.CLOCK.ttl_ms is not None


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{}", b"[]", encode(KEPT)[:-9], encode(KEPT).replace(b"1000", b"1.5")],
)
async def test_a_clock_that_cannot_be_read_is_none(
    state: LocalState, store: Store, garbage: bytes
) -> None:
    await store.write([SetFields(table.device_key(table.CLOCK), {"clock": garbage})])
    before = damaged["clock"]
    assert await state.kept_clock() is None
    assert damaged["clock"] == before + 1
    await state.put_kept_clock(KEPT)
    assert await state.kept_clock() == KEPT


async def test_outcomes_are_remembered_up_to_a_limit(state: LocalState) -> None:
    assert await state.outcomes() == {}
    for number in range(OUTCOMES_LIMIT + 3):
        await state.put_outcome(f"c{number}", Outcome("done", "", number))
    kept = await state.outcomes()
    assert len(kept) == OUTCOMES_LIMIT
    assert "c2" not in kept
    assert kept["c3"] == Outcome("done", "", 3)


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
