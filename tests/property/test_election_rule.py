"""The election rule: alive only, pinned first, then wired, clock, id; order does not matter."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from unisono.core.election import Candidate, elect, is_alive, own_lease_ms, ranked

NOW_MS = 1_000_000
LEASE_MS = 15_000
BEST_FIRST = (True, None, False)

said = st.sampled_from(BEST_FIRST)
candidates = st.lists(
    st.builds(
        Candidate,
        st.text("abc123-", min_size=1, max_size=4),
        st.none() | st.integers(NOW_MS - 3 * LEASE_MS, NOW_MS),
        st.sampled_from([0, 100, LEASE_MS // 3, LEASE_MS // 2]),
        said,
        said,
    ),
    max_size=6,
    unique_by=lambda candidate: candidate.device_id,
)


@given(candidates, st.text("abc123-", max_size=4), st.randoms())
def test_the_rule(found: list[Candidate], pinned: str, rng: object) -> None:
    order = ranked(found, pinned=pinned, now_ms=NOW_MS, lease_ms=LEASE_MS)
    by_id = {c.device_id: c for c in found}
    alive = {
        c.device_id
        for c in found
        if is_alive(
            c.seen_ms,
            now_ms=NOW_MS,
            lease_ms=LEASE_MS * 3 // 2 if c.interval_ms > 5000 else LEASE_MS,
        )
    }
    assert set(order) == alive
    assert len(order) == len(alive)
    assert pinned not in alive or order[0] == pinned
    for before, after in pairwise(by_id[name] for name in order):
        if before.device_id == pinned:
            continue
        wired = [BEST_FIRST.index(c.wired) for c in (before, after)]
        clock = [BEST_FIRST.index(c.clock_healthy) for c in (before, after)]
        assert (wired[0], clock[0], before.device_id) < (wired[1], clock[1], after.device_id)
    master = elect(found, pinned=pinned, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert master == (order[0] if order else None)
    shuffled = list(found)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ranked(shuffled, pinned=pinned, now_ms=NOW_MS, lease_ms=LEASE_MS) == order


def test_a_cable_comes_before_a_good_clock_and_that_before_a_low_id() -> None:
    def first(*found: tuple[str, bool | None, bool | None]) -> str | None:
        field = [Candidate(name, NOW_MS, 0, wired, clock) for name, wired, clock in found]
        return elect(field, now_ms=NOW_MS, lease_ms=LEASE_MS)

    assert first(("a", None, None), ("b", True, False)) == "b"
    assert first(("a", False, True), ("b", None, False)) == "b"
    assert first(("a", True, False), ("b", True, None)) == "b"
    assert first(("a", True, None), ("b", True, True)) == "b"
    assert first(("b", True, True), ("a", True, True)) == "a"


def test_a_lease_is_three_heartbeats_and_never_below_the_sessions() -> None:
    assert own_lease_ms(0, LEASE_MS) == LEASE_MS
    assert own_lease_ms(1000, LEASE_MS) == LEASE_MS
    assert own_lease_ms(30_000, LEASE_MS) == 90_000


def test_the_lease_ends_after_its_last_millisecond() -> None:
    assert is_alive(NOW_MS - LEASE_MS, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert not is_alive(NOW_MS - LEASE_MS - 1, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert not is_alive(None, now_ms=NOW_MS, lease_ms=LEASE_MS)
