"""Clock map, timeline and units: what must hold for every value."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.core.clockmap import ClockMap, identity
from unisono.core.target import Target, wall_target
from unisono.core.timeline import Timeline, wrap_error_ns
from unisono.core.units import MasterNs, OwnNs, WallNs, ms_to_ns, ns_to_ms

DAY_NS = 86_400 * 10**9
own_times = st.integers(0, 1000 * DAY_NS).map(OwnNs)
maps = st.builds(
    ClockMap,
    at_own_ns=own_times,
    offset_ns=st.integers(-1000 * DAY_NS, 1000 * DAY_NS),
    skew_ppb=st.integers(-500_000, 500_000),
    bound_ns=st.integers(0, 10**9),
    skew_bound_ppb=st.integers(0, 500_000),
)
durations = st.integers(1, 3600 * 10**9)


@given(maps, own_times)
def test_there_and_back_is_the_same_instant(clock_map: ClockMap, own_ns: OwnNs) -> None:
    assert abs(clock_map.to_own(clock_map.to_master(own_ns)) - own_ns) <= 1


@given(maps, own_times, own_times)
def test_time_never_runs_backwards_through_a_map(
    clock_map: ClockMap, a_ns: OwnNs, b_ns: OwnNs
) -> None:
    early, late = min(a_ns, b_ns), max(a_ns, b_ns)
    assert clock_map.to_master(early) <= clock_map.to_master(late)


@given(maps, st.integers(0, DAY_NS), st.integers(0, DAY_NS))
def test_the_bound_only_widens_with_age(clock_map: ClockMap, a_ns: int, b_ns: int) -> None:
    near, far = sorted((a_ns, b_ns))
    at_ns = clock_map.at_own_ns
    widths = [clock_map.bound_at_ns(OwnNs(at_ns + d)) for d in (0, near, far)]
    assert widths == sorted(widths)
    assert widths[0] == clock_map.bound_ns


@given(own_times, own_times)
def test_the_masters_own_map_changes_nothing(at_ns: OwnNs, own_ns: OwnNs) -> None:
    assert int(identity(at_ns).to_master(own_ns)) == int(own_ns)
    assert identity(at_ns).bound_at_ns(own_ns) == 0


@given(durations, st.integers(-(10**15), 10**15))
def test_a_wrapped_error_is_the_nearest(length_ns: int, error_ns: int) -> None:
    wrapped_ns = wrap_error_ns(error_ns, length_ns)
    assert -length_ns / 2 <= wrapped_ns <= length_ns / 2
    assert (wrapped_ns - error_ns) % length_ns == 0


@given(durations, st.integers(0, DAY_NS), st.integers(-DAY_NS, 30 * DAY_NS))
def test_phase_counts_down_and_then_wraps(length_ns: int, origin_ns: int, at_ns: int) -> None:
    timeline = Timeline(origin_ns, length_ns)
    phase_ns = timeline.phase_ns(at_ns)
    if at_ns < origin_ns:
        assert phase_ns == at_ns - origin_ns
    else:
        assert phase_ns == (at_ns - origin_ns) % length_ns


@given(maps, durations, st.integers(0, DAY_NS), own_times)
def test_the_instant_of_an_elapsed_time_is_when_it_has_elapsed(
    clock_map: ClockMap, length_ns: int, elapsed_ns: int, origin_ns: int
) -> None:
    target = Target(Timeline(origin_ns, length_ns), clock_map)
    instant_ns = target.instant_of(elapsed_ns)
    assert abs(target.elapsed_ns(instant_ns) - elapsed_ns) <= 2
    assert abs(target.drift_ns(elapsed_ns % length_ns, instant_ns)) <= 2


def test_a_player_ahead_has_positive_drift() -> None:
    target = Target(Timeline(0, 1_000), identity(OwnNs(0)))
    assert target.drift_ns(510, OwnNs(500)) == 10
    assert target.drift_ns(5, OwnNs(995)) == 10, "across the seam"
    assert target.drift_ns(990, OwnNs(1_005)) == -15


def test_the_wall_clock_s_timeline_starts_at_the_asked_instant() -> None:
    target = wall_target(
        start_at_ns=WallNs(10_000),
        length_ns=500,
        own_ns=OwnNs(300),
        wall_ns=WallNs(9_990),
        bound_ns=7,
    )
    assert target.phase_ns(OwnNs(300)) == -10
    assert target.phase_ns(OwnNs(315)) == 5
    assert target.bound_ns(OwnNs(300)) == 7


@given(st.integers(-(10**12), 10**12))
def test_whole_milliseconds_are_exact(value_ms: int) -> None:
    assert ms_to_ns(value_ms) == value_ms * 1_000_000
    assert ns_to_ms(ms_to_ns(value_ms)) == value_ms


@given(st.integers(0, 100 * DAY_NS).map(MasterNs))
def test_a_monotonic_stamp_keeps_its_nanosecond_on_the_wire(stamp_ns: MasterNs) -> None:
    assert abs(ms_to_ns(ns_to_ms(stamp_ns)) - stamp_ns) <= 1
