"""The election rule: alive only, pinned first, then the lowest id; order does not matter."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.core.election import Candidate, elect, is_alive, own_lease_ms

NOW_MS = 1_000_000
LEASE_MS = 15_000

candidates = st.lists(
    st.builds(
        Candidate,
        st.text("abc123-", min_size=1, max_size=4),
        st.none() | st.integers(NOW_MS - 3 * LEASE_MS, NOW_MS),
        st.sampled_from([0, 100, LEASE_MS // 3, LEASE_MS // 2]),
    ),
    max_size=6,
    unique_by=lambda candidate: candidate.device_id,
)


@given(candidates, st.text("abc123-", max_size=4), st.randoms())
def test_the_rule(found: list[Candidate], pinned: str, rng: object) -> None:
    master = elect(found, pinned=pinned, now_ms=NOW_MS, lease_ms=LEASE_MS)
    alive = {
        c.device_id
        for c in found
        if is_alive(
            c.seen_ms,
            now_ms=NOW_MS,
            lease_ms=LEASE_MS * 3 // 2 if c.interval_ms > 5000 else LEASE_MS,
        )
    }
    if not alive:
        assert master is None
    elif pinned in alive:
        assert master == pinned
    else:
        assert master == min(alive)
    shuffled = list(found)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert elect(shuffled, pinned=pinned, now_ms=NOW_MS, lease_ms=LEASE_MS) == master


def test_a_lease_is_three_heartbeats_and_never_below_the_sessions() -> None:
    assert own_lease_ms(0, LEASE_MS) == LEASE_MS
    assert own_lease_ms(1000, LEASE_MS) == LEASE_MS
    assert own_lease_ms(30_000, LEASE_MS) == 90_000


def test_the_lease_ends_after_its_last_millisecond() -> None:
    assert is_alive(NOW_MS - LEASE_MS, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert not is_alive(NOW_MS - LEASE_MS - 1, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert not is_alive(None, now_ms=NOW_MS, lease_ms=LEASE_MS)
