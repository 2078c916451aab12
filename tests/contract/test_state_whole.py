"""What cannot be written whole is not begun: for Redis, Valkey, a cluster, the twin in memory."""

from dataclasses import replace

import pytest

from unisono.state import Store
from unisono.state.errors import StateError, StateUnavailable
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
)


@pytest.fixture
def store(raw: Store) -> Store:
    return raw


# Commits whose last write cannot be carried out, over a hash n of x: "many", a: "5", b: "007" and
# near: 2**53 - 5, and a log l; and what the error must name.
HALVES: dict[str, tuple[list[Write], str]] = {
    "no number": ([AddTo("n", "x")], "n: x"),
    "a number that is written in another way": ([AddTo("n", "b")], "n: b"),
    "a text of the same call": ([SetFields("n", {"a": b"many"}), AddTo("n", "a")], "n: a"),
    "too large at once": ([AddTo("n", "a", 2**53 - 5)], "n: a"),
    "too large together": ([AddTo("n", "near", 2), AddTo("n", "near", 3)], "n: near"),
    "too large in between": ([AddTo("n", "near", 5), AddTo("n", "near", -5)], "n: near"),
    "too small": ([AddTo("n", "c", 1 - 2**53), AddTo("n", "c", -1)], "n: c"),
    "too large by a number of this call": ([RaiseTo("n", "a", 2**53 - 1), AddTo("n", "a")], "n: a"),
    "anew, too large": ([DropFields("n", None), *[AddTo("n", "x", 2**52)] * 2], "n: x"),
    "a sum that no server can hold": ([AddTo("n", "a", 2**63 - 1)], "n: a"),
    "a number that no server can hold": ([AddTo("n", "a", 10**400)], "n: a"),
    "a maximum that no server can hold": ([RaiseTo("n", "a", 10**400)], "n: a"),
    "a time that no server can hold": ([Append("l", 10**400, b"e", 9, 60_000)], "l:"),
    "a log as long as no server can hold": ([Append("l", 1, b"e", 2**64, 60_000)], "l:"),
    "a TTL that no server can hold": ([SetFields("n", {"a": b"1"}, 2**63)], "n:"),
    "a log as a hash": ([SetFields("l", {"x": b"1"})], "l is no hash"),
    "a number in a log": ([AddTo("l", "x")], "l is no hash"),
    "a maximum in a log": ([RaiseTo("l", "x", 1)], "l is no hash"),
    "a field off a log": ([DropFields("l", ("x",))], "l is no hash"),
    "a hash as a log": ([Append("n", 1, b"e", 9, 60_000)], "n is no log"),
    "a new hash as a log": (
        [SetFields("new", {"x": b"1"}), Append("new", 1, b"e", 9, 60_000)],
        "new is no log",
    ),
}


@pytest.mark.parametrize("case", HALVES)
async def test_what_cannot_be_written_whole_is_not_begun(store: Store, case: str) -> None:
    named = {"n": "{s}:n", "l": "{s}:l", "new": "{s}:new", "other": "{s}:other"}
    held = {"x": b"many", "a": b"5", "b": b"007", "near": b"%d" % (2**53 - 5)}
    log = Append(named["l"], 1, b"e", 9, 60_000)
    await store.write([SetFields(named["n"], held), log])
    before: list[Write] = [
        SetFields("other", {"y": b"1"}), AddTo("other", "z", 7),
        Append("l", 2, b"f", 9, 60_000), DropFields("n", ("never",)), RaiseTo("n", "max", 3),
    ]  # fmt: skip
    last, said = HALVES[case]
    writes = [replace(line, key=named[line.key]) for line in (*before, *last)]
    for attempt in (store.commit([Guard(named["n"], "a", b"5")], writes), store.write(writes)):
        with pytest.raises(StateError) as caught:
            await attempt
        assert f"{{s}}:{said}" in str(caught.value)
        assert not isinstance(caught.value, StateUnavailable)  # to ask again is of no use
    assert await store.read([Fields(named["n"])]) == [held]
    assert await store.read([Fields(named["other"]), Fields(named["new"])]) == [{}, {}]
    assert await store.entries([Entries(log.key, 0, 9, 9)]) == [[(1, b"e")]]
    # And nothing is in the way of what does fit.
    fits: list[Write] = [
        AddTo("n", "near", 4), AddTo("n", "near", -(2**53) + 1), AddTo("n", "a", -6),
        SetFields("n", {"x": b"-3"}), AddTo("n", "x"), DropFields("n", ("b",)), AddTo("n", "b"),
        RaiseTo("n", "max", 8), AddTo("n", "max", -1), RaiseTo("n", "max", 7),
    ]  # fmt: skip
    await store.write([replace(line, key=named[line.key]) for line in fits])
    assert await store.read([Fields(named["n"])]) == [
        {"near": b"0", "a": b"-1", "x": b"-2", "b": b"1", "max": b"7"}
    ]


async def test_a_count_that_is_no_number_or_too_large_is_an_error(store: Store) -> None:
    held = {"x": b"many", "y": b"%d" % (2**53 - 1)}
    await store.write([SetFields("n", held), Append("l", 1, b"e", 9, 60_000)])
    for add in (
        AddTo("n", "x"),
        AddTo("n", "y"),
        AddTo("n", "y", 2**63),
        AddTo("n", "z", 1, 2**63),
    ):
        with pytest.raises(StateError, match=f"n: {add.name}"):
            await store.count(add)
    with pytest.raises(StateError):
        await store.count(AddTo("l", "x"))
    assert await store.read([Fields("n")]) == [held]


async def test_a_hash_is_not_read_as_a_log_nor_a_log_as_a_hash(store: Store) -> None:
    await store.write([SetFields("{s}:n", {"x": b"1"}), Append("{s}:l", 1, b"e", 9, 60_000)])
    for attempt in (
        store.read([Fields("{s}:l")]),
        store.read_watching([], Watch("{s}:l", 1, ())),
        store.entries([Entries("{s}:n", 0, 9, 9)]),
        store.commit([Guard("{s}:l", "x", None)], [AddTo("{s}:n", "x")]),
    ):
        with pytest.raises(StateError) as caught:
            await attempt
        assert not isinstance(caught.value, StateUnavailable)
    assert await store.read([Fields("{s}:n")]) == [{"x": b"1"}]
