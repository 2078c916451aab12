"""The estimator where the path, the clocks or the master are not as they should be."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.test_core_estimator import S_NS, World, run
from unisono.core.edgeline import PRIOR_SKEW_PPB, WANDER_PPB, fit
from unisono.core.envelope import Bin
from unisono.core.estimator import ClockEstimator
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import MasterNs, OwnNs


def lan(seed: int, mean_ns: int = 100_000, least_ns: int = 100_000) -> World:
    return World(10**12, 20_000, mean_ns, least_ns, random.Random(seed))


def mixed(world: World, estimator: ClockEstimator, seconds: float) -> list[tuple[int, int]]:
    """Beacons at 20 Hz, probes at 1 Hz; error and bound after each beacon."""
    seen = []
    for beat in range(round(seconds * 20)):
        estimator.add_beacon(world.beacon())
        if beat % 20 == 0:
            estimator.add_probe(world.probe())
        world.now_ns += S_NS // 20
        clock_map = estimator.clock_map(OwnNs(world.now_ns))
        assert clock_map is not None
        seen.append((abs(world.error_ns(estimator)), clock_map.bound_ns))
    return seen


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_bad_wifi_costs_fractions_of_a_millisecond(seed: int) -> None:
    seen = mixed(lan(seed, 5_000_000, 1_000_000), ClockEstimator(), 90)
    assert all(error_ns <= bound_ns for error_ns, bound_ns in seen)
    settled_ns = [error_ns for error_ns, _ in seen[30 * 20 :]]
    assert sum(settled_ns) / len(settled_ns) < 400_000
    assert max(settled_ns) < 2_000_000  # of 250 seeds the worst had 0.85 ms, the median 0.12


def test_a_path_that_becomes_worse_and_lopsided_moves_nothing_but_the_bound() -> None:
    world, estimator = lan(7), ClockEstimator()
    mixed(world, estimator, 60)
    for _ in range(120):
        estimator.add_beacon(world.beacon())
        estimator.add_probe(world.probe(forward_extra_ns=3_000_000))
        world.now_ns += S_NS
    clock_map = estimator.clock_map(OwnNs(world.now_ns))
    assert clock_map is not None
    assert abs(world.error_ns(estimator)) < 100_000
    assert clock_map.bound_ns > 2_000_000


def test_one_slow_answer_does_not_spoil_the_bound() -> None:
    """A bound made of the last seconds alone would be half of that answer's round trip."""
    world, estimator = lan(7), ClockEstimator()
    run(world, estimator, 30)
    for _ in range(4):
        estimator.add_probe(world.probe(forward_extra_ns=60_000_000))
        world.now_ns += 2 * S_NS
    clock_map = estimator.clock_map(OwnNs(world.now_ns))
    assert clock_map is not None
    assert clock_map.bound_ns < 4_000_000


@pytest.mark.parametrize("wrong_ms", [-3_000, -20, 20, 3_000])
def test_one_broken_stamp_among_beacons_changes_nothing(wrong_ms: int) -> None:
    world, estimator = lan(11), ClockEstimator()
    mixed(world, estimator, 20)
    world.offset_ns += wrong_ms * 1_000_000
    estimator.add_probe(world.probe())
    world.offset_ns -= wrong_ms * 1_000_000
    seen = mixed(world, estimator, 10)
    assert max(error_ns for error_ns, _ in seen) < 200_000
    assert seen[-1][1] < 1_000_000, "and it is not doubted for ever"


@pytest.mark.parametrize("step_ms", [-3_000, -20, 20, 3_000])
def test_a_step_is_believed_with_the_beacons_after_the_first_probe(step_ms: int) -> None:
    world, estimator = lan(11), ClockEstimator()
    mixed(world, estimator, 20)
    world.offset_ns += step_ms * 1_000_000
    seen = mixed(world, estimator, 1)
    assert max(error_ns for error_ns, _ in seen[5:]) < 500_000


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(100_000, 4_000_000))
@settings(max_examples=40, deadline=None)
def test_beacons_alone_are_bounded_on_real_wifi_too(seed: int, beats: int, least_ns: int) -> None:
    """From the first one on, with least delays as Wi-Fi has them."""
    world, estimator = lan(seed, 10_000_000, least_ns), ClockEstimator()
    for _ in range(beats):
        estimator.add_beacon(world.beacon())
        world.now_ns += S_NS // 20
    clock_map = estimator.clock_map(OwnNs(world.now_ns))
    assert clock_map is not None
    assert abs(world.error_ns(estimator)) <= clock_map.bound_ns


stamps = st.one_of(st.integers(-(10**16), 10**16), st.integers(-3, 3))


@given(st.lists(st.tuples(stamps, stamps, st.integers(0, 3 * 10**10)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_a_master_says_is_survived(said: list[tuple[int, int, int]]) -> None:
    estimator, now_ns = ClockEstimator(), 1_000 * S_NS
    for first_ns, second_ns, wait_ns in said:
        sent_ns, now_ns = now_ns, now_ns + wait_ns
        master_ns = MasterNs(first_ns), MasterNs(second_ns)
        estimator.add_probe(ProbeSample(OwnNs(sent_ns), *master_ns, OwnNs(now_ns)))
        estimator.add_beacon(BeaconSample(MasterNs(second_ns), OwnNs(now_ns)))
        clock_map = estimator.clock_map(OwnNs(now_ns))
        assert clock_map is not None
        assert abs(clock_map.skew_ppb) <= PRIOR_SKEW_PPB
        assert clock_map.bound_ns >= 0


# Wild stamps, and ones near enough to each other to agree, to be a slew or to be a step.
near = st.one_of(stamps, st.integers(-20_000_000, 20_000_000))
turns = st.lists(st.tuples(st.booleans(), near, near, near), max_size=30)


@given(turns, st.integers(0, 2 * 10**9))
@settings(max_examples=300, deadline=None)
@example([(False, 0, 0, 0), (True, -10_000_000, 5, 0)], S_NS)  # a reply alone in its half second
def test_probes_and_beacons_in_any_order_always_leave_a_map(
    said: list[tuple[bool, int, int, int]], wait_ns: int
) -> None:
    estimator, now_ns = ClockEstimator(), 1_000 * S_NS
    for is_probe, first_ns, second_ns, sway_ns in said:
        now_ns += wait_ns
        sent_ns, received_ns = OwnNs(now_ns - 1_000_000), OwnNs(now_ns + sway_ns)
        first, second = MasterNs(now_ns + first_ns), MasterNs(now_ns + second_ns)
        if is_probe:
            estimator.add_probe(ProbeSample(sent_ns, first, second, received_ns))
        else:
            estimator.add_beacon(BeaconSample(second, received_ns))
        for at_ns in (now_ns, received_ns, now_ns + 3_600 * S_NS):
            clock_map = estimator.clock_map(OwnNs(at_ns))
            assert is_probe or clock_map is not None
            assert clock_map is None or clock_map.bound_ns >= 0


def test_a_clock_on_a_line_is_found_to_what_clocks_wander() -> None:
    """Without any delay beyond the least, the slope of all limits is the skew."""
    world, estimator = lan(1, mean_ns=1), ClockEstimator()
    run(world, estimator, 60)
    clock_map = estimator.clock_map(OwnNs(world.now_ns))
    assert clock_map is not None
    assert abs(clock_map.skew_ppb - world.skew_ppb) <= WANDER_PPB
    assert abs(world.error_ns(estimator)) < 1_000


def test_no_limits_are_no_line_but_no_error_either() -> None:
    for bins in ([], [Bin(0)]):
        line = fit(bins, 0, ClockEstimator()._line)
        assert line is not None
        assert line.edges_ns == {}
        assert line.skew_bound_ppb > PRIOR_SKEW_PPB
