"""The store's contract: for Redis, Valkey, a Redis Cluster, and the twin in memory."""

import asyncio

import pytest

from unisono.state import Store
from unisono.state.store import (
    AddTo,
    Append,
    DropFields,
    Entries,
    Fields,
    Guard,
    RaiseTo,
    SetFields,
    Watch,
    Write,
    group_of,
)

EVER = 2**53


@pytest.fixture
def store(raw: Store) -> Store:
    return raw


async def forgotten(store: Store, key: str) -> None:
    async with asyncio.timeout(5):
        while (await store.read([Fields(key)]))[0]:  # noqa: ASYNC110  (the server forgets it)
            await asyncio.sleep(0.005)


async def test_an_absent_key_reads_as_nothing(store: Store) -> None:
    assert await store.read([Fields("a"), Fields("a", ("x", "y"))]) == [{}, {}]


async def test_fields_are_written_read_and_dropped(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1", "y": b"\x00\xff"}), SetFields("b", {"z": b""})])
    await store.write([SetFields("a", {"x": b"2"})])
    assert await store.read([Fields("a"), Fields("a", ("y", "no")), Fields("b")]) == [
        {"x": b"2", "y": b"\x00\xff"},
        {"y": b"\x00\xff"},
        {"z": b""},
    ]
    await store.write([DropFields("a", ("x", "no")), DropFields("b", ("z",))])
    assert await store.read([Fields("a"), Fields("b")]) == [{"y": b"\x00\xff"}, {}]


async def test_empty_writes_do_nothing(store: Store) -> None:
    await store.write([])
    await store.write([SetFields("a", {}), DropFields("a", ()), DropFields("b", ("x",))])
    assert await store.read([Fields("a")]) == [{}]


async def test_counters_add_up(store: Store) -> None:
    await store.write([AddTo("n", "x"), AddTo("n", "x", 5), AddTo("n", "y", -2)])
    assert await store.read([Fields("n")]) == [{"x": b"6", "y": b"-2"}]


async def test_a_key_with_a_ttl_is_forgotten(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1"}, ttl_ms=30), SetFields("b", {"x": b"1"})])
    await forgotten(store, "a")
    assert await store.read([Fields("b")]) == [{"x": b"1"}]


async def test_a_later_write_renews_the_ttl(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1"}, ttl_ms=60_000)])
    await store.write([AddTo("a", "n", 1, ttl_ms=20)])
    await forgotten(store, "a")


async def test_a_commit_applies_all_or_nothing(store: Store) -> None:
    writes: list[Write] = [
        SetFields("{s}:a", {"v": b"1", "d": b"doc"}),
        AddTo("{s}:n", "made"),
        SetFields("{s}:q", {"c": b"go"}, ttl_ms=60_000),
    ]
    fresh = [Guard("{s}:a", "v", None)]
    assert await store.commit(fresh, writes)
    assert not await store.commit(fresh, writes)
    assert await store.read([Fields("{s}:a"), Fields("{s}:n"), Fields("{s}:q")]) == [
        {"v": b"1", "d": b"doc"},
        {"made": b"1"},
        {"c": b"go"},
    ]
    right, wrong = Guard("{s}:a", "v", b"1"), Guard("{s}:q", "c", b"stop")
    drops: list[Write] = [DropFields("{s}:a", ("v", "d")), DropFields("{s}:q", ("c",))]
    assert not await store.commit([right, wrong], drops)
    assert await store.commit([right, Guard("{s}:q", "none", None)], drops)
    assert await store.read([Fields("{s}:a"), Fields("{s}:q")]) == [{}, {}]


async def test_an_empty_value_is_not_an_absent_one(store: Store) -> None:
    await store.write([SetFields("a", {"x": b""})])
    drops = [DropFields("a", ("x",))]
    assert not await store.commit([Guard("a", "x", None)], drops)
    assert await store.commit([Guard("a", "x", b"")], drops)


async def test_of_racing_commits_one_wins(store: Store) -> None:
    async def add(name: str) -> None:
        while True:
            (held,) = await store.read([Fields("a")])
            number = int(held.get("v", b"0"))
            guard = Guard("a", "v", held.get("v"))
            change = SetFields("a", {"v": b"%d" % (number + 1), name: b"done"})
            if await store.commit([guard], [change]):
                return

    await asyncio.gather(*(add(f"w{number}") for number in range(20)))
    (held,) = await store.read([Fields("a")])
    assert held["v"] == b"20"
    assert len(held) == 21


async def test_a_commit_whose_keys_lie_apart_is_a_mistake(store: Store) -> None:
    with pytest.raises(ValueError, match="hash tags"):
        await store.commit([Guard("{s}:a", "v", None)], [AddTo("{t}:n", "x")])
    with pytest.raises(ValueError, match="hash tags"):
        await store.read_watching([Fields("{s}:a")], Watch("{t}:n", 1, ()))
    assert await store.commit([], [])


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("p:{lobby}:site", "lobby"),
        ("p:sites", "p:sites"),
        ("a{}b", "a{}b"),
        ("{a", "{a"),
        ("{a}{b}", "a"),
    ],
)
def test_keys_are_grouped_as_a_cluster_places_them(key: str, group: str) -> None:
    assert group_of(key) == group


async def test_keys_of_many_groups_are_read_and_written_together(store: Store) -> None:
    names = [f"{{s{number}}}:a" for number in range(40)]
    await store.write([SetFields(name, {"x": name.encode()}) for name in names])
    found = await store.read([Fields(name) for name in reversed(names)])
    assert found == [{"x": name.encode()} for name in reversed(names)]
    await store.write([Append(f"{name}:l", 7, name.encode(), 9, 60_000) for name in names])
    logs = await store.entries([Entries(f"{name}:l", 0, 9, 9) for name in names])
    assert logs == [[(7, name.encode())] for name in names]


async def test_more_fields_than_a_script_can_pass_on(store: Store) -> None:
    many = {f"f{number}": b"%d" % number for number in range(20_000)}
    assert await store.commit([Guard("a", "v", None)], [SetFields("a", many)])
    assert (await store.read([Fields("a")]))[0] == many
    some = tuple(many)[1::2]
    found, none, two = await store.read([Fields("a", some), Fields("a", ()), Fields("a", some[:2])])
    assert found == {name: many[name] for name in some}
    assert (none, set(two)) == ({}, set(some[:2]))
    await store.write([DropFields("a", some)])
    assert set((await store.read([Fields("a")]))[0]) == set(many) - set(some)


async def test_a_whole_key_is_dropped(store: Store) -> None:
    await store.write([SetFields("a", {"x": b"1", "y": b"2"}, 60_000), AddTo("b", "x")])
    await store.write([DropFields("a", None), DropFields("none", None), SetFields("b", {})])
    assert await store.read([Fields("a"), Fields("b")]) == [{}, {"x": b"1"}]
    await store.write([Append("l", 1, b"e", 9, 60_000), DropFields("l", None)])
    assert await store.entries([Entries("l", 0, 9, 9)]) == [[]]


async def test_writes_have_effect_in_their_order(store: Store) -> None:
    await store.write(
        [
            SetFields("a", {"x": b"1"}, ttl_ms=1),
            DropFields("a", None),
            SetFields("a", {"y": b"2"}),
            AddTo("b", "x", ttl_ms=1),
            DropFields("b", ("x",)),
            SetFields("b", {"y": b"2"}),
        ]
    )
    await asyncio.sleep(0.01)  # neither was given a TTL after it was made anew
    assert await store.read([Fields("a"), Fields("b")]) == [{"y": b"2"}, {"y": b"2"}]


async def test_counting_tells_the_number(store: Store) -> None:
    assert [await store.count(AddTo("n", "x", by, 60_000)) for by in (1, 1, -5)] == [1, 2, -3]
    assert await store.count(AddTo("n", "y")) == 1
    await store.count(AddTo("n", "x", 1, ttl_ms=1))
    await forgotten(store, "n")


async def test_the_largest_number_stays(store: Store) -> None:
    # Only what a server would write itself counts as a number.
    bad = {"bad": b"?", "hex": b"0x10", "exp": b"1e5", "nan": b"nan", "led": b"007", "spc": b" 9 "}
    await store.write([SetFields("n", bad)])
    for to in (-5, 7, 3, 2**52):
        await store.write([RaiseTo("n", name, to) for name in ("x", *bad)] + [AddTo("n", "a", to)])
        if to == 3:
            assert await store.read([Fields("n", ("x", *bad))]) == [
                dict.fromkeys(("x", *bad), b"7")
            ]
    assert await store.read([Fields("n", ("x",))]) == [{"x": b"%d" % 2**52}]
    await store.write([RaiseTo("n", "x", 1, ttl_ms=1)])
    await forgotten(store, "n")


async def test_a_watch_spares_what_is_not_needed(store: Store) -> None:
    reads = [Fields("{s}:a"), Fields("{s}:b", ("x", "no"))]
    further = (Fields("{s}:c"), Fields("{s}:d", ("x",)))
    await store.write(
        [SetFields(f"{{s}}:{name}", {"x": name.encode(), "y": b""}) for name in "abcd"]
    )
    own = [{"x": b"a", "y": b""}, {"x": b"b"}]
    rest = [{"x": b"c", "y": b""}, {"x": b"d"}]
    watch = Watch("{s}:w", 1_780_000_000_000, further)
    assert await store.read_watching(reads, watch) == (own, None)
    await store.write([SetFields("{s}:w", {"s1": b"1780000000000", "s2": b"1780000000001"})])
    assert await store.read_watching(reads, watch) == (own, None)
    later = Watch("{s}:w", 1_780_000_000_001, further)
    assert await store.read_watching(reads, later) == (own, rest)
    assert await store.read_watching([], later) == ([], rest)
    assert await store.read_watching(reads, Watch(later.key, later.now, ())) == (own, [])
    await store.write([SetFields("{s}:w", {"s1": b"?"})])
    assert await store.read_watching(reads, watch) == (own, rest)


async def test_a_log_keeps_its_newest_entries(store: Store) -> None:
    at_ms = 1_780_000_000_000
    for number in (3, 1, 4, 0, 2):
        await store.write([Append("l", at_ms + number, b"\x00%d" % number, 4, 60_000)])
    newest = [(at_ms + number, b"\x00%d" % number) for number in (4, 3, 2, 1)]
    assert await store.entries([Entries("l", 0, EVER, 9), Entries("none", 0, EVER, 9)]) == [
        newest,
        [],
    ]
    reads = [
        Entries("l", at_ms + 2, at_ms + 3, 9),
        Entries("l", 0, EVER, 2),
        Entries("l", 0, EVER, 0),
        Entries("l", 9, 0, 9),
    ]
    assert await store.entries(reads) == [newest[1:3], newest[:2], [], []]


async def test_a_log_holds_equal_entries_once(store: Store) -> None:
    await store.write([Append("l", at_ms, b"e", 9, 60_000) for at_ms in (5, 7, 6)])
    await store.write([Append("l", 7, b"f", 9, 60_000), Append("l", 7, b"d", 9, 60_000)])
    assert await store.entries([Entries("l", 0, 9, 9)]) == [[(7, b"f"), (7, b"e"), (7, b"d")]]


async def test_a_log_is_forgotten_after_its_last_entry(store: Store) -> None:
    await store.write([Append("l", 1, b"e", 9, 60_000)])
    await store.write([Append("l", 2, b"f", 9, 20)])
    async with asyncio.timeout(5):
        while (await store.entries([Entries("l", 0, 9, 9)]))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
