"""A clock map kept over a restart: when it may be used, and what the estimator makes of it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_core_estimator import S_NS, World, run, worlds
from unisono.core.clockmap import ClockMap
from unisono.core.estimator import ONE_WAY_BOUND_NS, ClockEstimator
from unisono.core.keptclock import MAX_AGE_NS, MAX_BOUND_NS, KeptClock, still_holds
from unisono.core.units import OwnNs

MAP = ClockMap(OwnNs(1_000 * S_NS), 10**15, 20_000, 200_000, 2_000)
KEPT = KeptClock("s", 3, "a", "aa" * 8, "bb" * 8, MAP)


def holds(kept: KeptClock, now_ns: int = 1_010 * S_NS) -> bool:
    return still_holds(
        kept,
        own_clock_id_hex="bb" * 8,
        master_device_id="a",
        master_clock_id_hex="aa" * 8,
        now_ns=OwnNs(now_ns),
    )


def test_a_map_between_the_same_clocks_holds_for_a_while() -> None:
    assert holds(KEPT)
    assert holds(replace(KEPT, session_id="t", term=9))
    assert holds(KEPT, MAP.at_own_ns + MAX_AGE_NS)
    assert not holds(KEPT, MAP.at_own_ns + MAX_AGE_NS + 1)


@pytest.mark.parametrize(
    "other",
    [
        replace(KEPT, own_clock_id_hex="cc" * 8),
        replace(KEPT, master_clock_id_hex="cc" * 8),
        replace(KEPT, master_device_id="b"),
        replace(KEPT, clock_map=replace(MAP, at_own_ns=OwnNs(1_011 * S_NS))),
        replace(KEPT, clock_map=replace(MAP, offset_ns=10**19)),
        replace(KEPT, clock_map=replace(MAP, skew_ppb=-2_000_000)),
        replace(KEPT, clock_map=replace(MAP, skew_bound_ppb=-1)),
        replace(KEPT, clock_map=replace(MAP, skew_bound_ppb=10**12)),
        replace(KEPT, clock_map=replace(MAP, bound_ns=-5)),
        replace(KEPT, clock_map=replace(MAP, bound_ns=0)),
        replace(KEPT, clock_map=replace(MAP, bound_ns=MAX_BOUND_NS)),
    ],
)
def test_another_clock_or_numbers_that_cannot_be_are_not_used(other: KeptClock) -> None:
    assert not holds(other)


def test_clocks_without_a_name_are_no_match() -> None:
    kept = replace(KEPT, own_clock_id_hex="", master_clock_id_hex="")
    now_ns = OwnNs(1_010 * S_NS)
    assert not still_holds(
        kept, own_clock_id_hex="", master_device_id="a", master_clock_id_hex="", now_ns=now_ns
    )


def restarted(world: World, away_s: float) -> ClockEstimator:
    """An estimator that begins with the map another had learnt ``away_s`` ago."""
    first = ClockEstimator()
    run(world, first, 60)
    kept = first.clock_map(OwnNs(world.now_ns))
    assert kept is not None
    world.now_ns += round(away_s * S_NS)
    second = ClockEstimator()
    second.restore(kept)
    return second


@given(worlds, st.floats(0, 600), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_restored_map_serves_at_once_and_is_never_false(
    world: World, away_s: float, beacons: int, probes: int
) -> None:
    estimator = restarted(world, away_s)
    for step in range(beacons + probes + 1):
        clock_map = estimator.clock_map(OwnNs(world.now_ns))
        assert clock_map is not None
        assert abs(world.error_ns(estimator)) <= clock_map.bound_ns
        if step < beacons:
            estimator.add_beacon(world.beacon())
        else:
            estimator.add_probe(world.probe())
        world.now_ns += S_NS // 20


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_after_a_short_absence_the_map_is_better_than_the_first_probes(seed: int) -> None:
    world = World(10**12, 30_000, 5_000_000, 1_000_000, random.Random(seed))
    estimator, fresh = restarted(world, 2), ClockEstimator()
    for _ in range(3):
        world.now_ns += S_NS // 20
        sample = world.probe()
        estimator.add_probe(sample)
        fresh.add_probe(sample)
    assert abs(world.error_ns(estimator)) < 1_000_000
    restored, learnt = (e.clock_map(OwnNs(world.now_ns)) for e in (estimator, fresh))
    assert restored is not None
    assert learnt is not None
    assert restored.bound_ns <= learnt.bound_ns


@pytest.mark.parametrize("step_ms", [-3_000, -20, 20, 3_000])
def test_a_map_that_the_first_probe_contradicts_is_discarded(step_ms: int) -> None:
    world = World(10**12, 0, 100_000, 100_000, random.Random(5))
    estimator = restarted(world, 5)
    world.offset_ns += step_ms * 1_000_000
    sample = world.probe()
    estimator.add_probe(sample)
    world.now_ns = sample.own_received_ns
    clock_map = estimator.clock_map(sample.own_received_ns)
    assert clock_map is not None
    assert abs(world.error_ns(estimator)) <= clock_map.bound_ns < 5_000_000


@pytest.mark.parametrize("slept_ms", [3, 40, 3_600_000])
def test_until_the_first_probe_a_master_that_slept_is_inside_the_bound(slept_ms: int) -> None:
    """Its beacons only look late: they contradict nothing."""
    world = World(10**12, 0, 100_000, 100_000, random.Random(5))
    estimator = restarted(world, 5)
    world.offset_ns -= slept_ms * 1_000_000
    for _ in range(30):
        estimator.add_beacon(world.beacon())
        clock_map = estimator.clock_map(OwnNs(world.now_ns))
        assert clock_map is not None
        assert clock_map.bound_ns >= ONE_WAY_BOUND_NS
        assert abs(world.error_ns(estimator)) <= clock_map.bound_ns
        world.now_ns += S_NS // 20
    estimator.add_probe(world.probe())
    assert abs(world.error_ns(estimator)) < 500_000


def test_one_probe_that_agrees_is_enough_to_trust_it_again() -> None:
    world = World(10**12, 0, 5_000_000, 100_000, random.Random(5))
    estimator = restarted(world, 5)
    before = estimator.clock_map(OwnNs(world.now_ns))
    estimator.add_probe(world.probe())
    after = estimator.clock_map(OwnNs(world.now_ns))
    assert before is not None
    assert after is not None
    assert before.bound_ns == ONE_WAY_BOUND_NS
    assert after.bound_ns < ONE_WAY_BOUND_NS


def test_in_time_the_messages_own_map_takes_over() -> None:
    world = World(10**12, 0, 100_000, 100_000, random.Random(5))
    estimator, fresh = restarted(world, 5), ClockEstimator()
    for _ in range(40):
        sample = world.probe()
        estimator.add_probe(sample)
        fresh.add_probe(sample)
        world.now_ns += S_NS // 2
    assert estimator.clock_map(OwnNs(world.now_ns)) == fresh.clock_map(OwnNs(world.now_ns))


def test_another_master_is_not_told_of_it() -> None:
    estimator = ClockEstimator()
    estimator.restore(MAP)
    estimator.reset()
    assert estimator.clock_map(OwnNs(1_010 * S_NS)) is None
