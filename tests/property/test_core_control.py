"""The control law against a player that obeys late, and is a little fast or slow by itself."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from unisono.core.control import (
    Command,
    ControlRules,
    ControlState,
    control,
    effect_ns,
    restarted,
)
from unisono.core.units import PPB, OwnNs, scale_ppb

MS_NS = 1_000_000
STEP_NS = 100 * MS_NS
RULES = ControlRules(dead_band_ns=50_000, max_correction_ppb=30_000_000)


@dataclass
class Plant:
    """Integrates the correction that was ordered ``delay_ns`` ago, plus its own rate error."""

    drift_ns: int
    delay_ns: int
    rate_ppb: int
    now_ns: int = 10**12
    orders: list[tuple[int, int]] = field(default_factory=list)

    def advance(self) -> None:
        for _ in range(10):
            self.now_ns += STEP_NS // 10
            due = [c for at_ns, c in self.orders if at_ns + self.delay_ns <= self.now_ns]
            correction_ppb = due[-1] if due else 0
            self.drift_ns += scale_ppb(STEP_NS // 10, correction_ppb + self.rate_ppb)


def drive(plant: Plant, *, believed_delay_ns: int, seconds: float) -> list[int]:
    """The drift after each step."""
    state = restarted(ControlState(), now_ns=OwnNs(plant.now_ns))
    drifts_ns = []
    for _ in range(round(seconds * 10)):
        now_ns = OwnNs(plant.now_ns)
        after = control(
            state, drift_ns=plant.drift_ns, now_ns=now_ns, delay_ns=believed_delay_ns, rules=RULES
        )
        if after.correction_ppb != state.correction_ppb:
            plant.orders.append((now_ns, after.correction_ppb))
        state = after
        plant.advance()
        drifts_ns.append(plant.drift_ns)
    return drifts_ns


@given(
    drift_ns=st.integers(-400 * MS_NS, 400 * MS_NS),
    delay_ns=st.integers(20 * MS_NS, 600 * MS_NS),
    error_pct=st.integers(-40, 40),
    rate_ppb=st.integers(-200_000, 200_000),
)
@settings(max_examples=60, deadline=None)
def test_any_drift_is_gone_soon_and_stays_gone(
    drift_ns: int, delay_ns: int, error_pct: int, rate_ppb: int
) -> None:
    """Even where the delay is known to 40 % only, and the player's clock is off by 200 ppm."""
    plant = Plant(drift_ns, delay_ns, rate_ppb)
    believed_ns = delay_ns * (100 + error_pct) // 100
    drifts_ns = drive(plant, believed_delay_ns=believed_ns, seconds=60)
    slewing_s = abs(drift_ns) / (RULES.max_correction_ppb - 200_000)
    settled = drifts_ns[round((slewing_s + 12) * 10) :]
    assert max(map(abs, settled)) < 3 * MS_NS
    assert max(map(abs, drifts_ns[-100:])) < 250_000, "no residue stays parked"


@given(
    drift_ns=st.integers(20 * MS_NS, 400 * MS_NS),
    delay_ns=st.integers(20 * MS_NS, 600 * MS_NS),
)
@settings(max_examples=40, deadline=None)
def test_it_does_not_ring(drift_ns: int, delay_ns: int) -> None:
    drifts_ns = drive(Plant(drift_ns, delay_ns, 0), believed_delay_ns=delay_ns, seconds=40)
    assert min(drifts_ns) > -drift_ns * 0.05 - MS_NS


@given(drift_ns=st.integers(-(10**10), 10**10))
def test_the_correction_keeps_its_limit_and_opposes_the_drift(drift_ns: int) -> None:
    state = restarted(ControlState(), now_ns=OwnNs(0))
    after = control(state, drift_ns=drift_ns, now_ns=OwnNs(0), delay_ns=0, rules=RULES)
    assert abs(after.correction_ppb) <= RULES.max_correction_ppb
    if abs(drift_ns) > RULES.dead_band_ns:
        assert after.correction_ppb * drift_ns < 0
    else:
        assert after.correction_ppb == 0


def test_what_was_ordered_is_not_ordered_twice() -> None:
    """Within the player's delay the drift has not moved yet: the order stands, no new one."""
    state = restarted(ControlState(), now_ns=OwnNs(0))
    first = control(state, drift_ns=MS_NS, now_ns=OwnNs(0), delay_ns=500 * MS_NS, rules=RULES)
    later = OwnNs(400 * MS_NS)
    second = control(first, drift_ns=MS_NS, now_ns=later, delay_ns=500 * MS_NS, rules=RULES)
    assert abs(second.correction_ppb) < abs(first.correction_ppb)


def test_a_command_acts_from_its_delay_until_its_successor_does() -> None:
    first, second = Command(OwnNs(1_000), PPB), Command(OwnNs(3_000), -PPB)
    whole = effect_ns((first, second), from_ns=0, to_ns=10_000, delay_ns=100)
    assert whole == 2_000 - 6_900
    assert effect_ns((first, second), from_ns=0, to_ns=1_100, delay_ns=100) == 0
    assert effect_ns((first,), from_ns=2_000, to_ns=2_500, delay_ns=100) == 500


def settled_on(drift_ns: int) -> ControlState:
    state = restarted(ControlState(), now_ns=OwnNs(0))
    for step in range(10):
        now_ns = OwnNs(step * STEP_NS)
        state = control(state, drift_ns=drift_ns, now_ns=now_ns, delay_ns=0, rules=RULES)
    return state


def test_one_reading_far_off_hardly_counts_but_a_jump_is_believed() -> None:
    state = settled_on(0)
    for step, far_ns in enumerate((20 * MS_NS, -20 * MS_NS, 20 * MS_NS), start=10):
        now_ns = OwnNs(step * STEP_NS)
        state = control(state, drift_ns=far_ns, now_ns=now_ns, delay_ns=0, rules=RULES)
        assert abs(state.drift_ns) < MS_NS
    state = settled_on(0)
    for step in (10, 11, 12):
        now_ns = OwnNs(step * STEP_NS)
        state = control(state, drift_ns=20 * MS_NS, now_ns=now_ns, delay_ns=0, rules=RULES)
    assert state.drift_ns == 20 * MS_NS


@given(st.integers(1, 100), st.sampled_from((-1, 1)))
@settings(max_examples=20, deadline=None)
def test_correcting_a_start_that_was_off_teaches_no_false_rate(off_ms: int, side: int) -> None:
    drifts_ns = drive(
        Plant(side * off_ms * MS_NS, 30 * MS_NS, 0), believed_delay_ns=30 * MS_NS, seconds=20
    )
    settled = drifts_ns[round((off_ms / 30 + 5) * 10) :]
    assert max(map(abs, settled)) < 120_000
