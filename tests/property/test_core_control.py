"""The control law against a player that obeys late, and is a little fast or slow by itself."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from unisono.core.control import ControlRules, ControlState, control, pending_ns, restarted
from unisono.core.units import OwnNs, scale_ppb

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
    delay_ns = 500 * MS_NS
    state = restarted(ControlState(), now_ns=OwnNs(0))
    first = control(state, drift_ns=MS_NS, now_ns=OwnNs(0), delay_ns=delay_ns, rules=RULES)
    later = OwnNs(400 * MS_NS)
    expected_ns = MS_NS + pending_ns(first, now_ns=later, delay_ns=delay_ns)
    assert 0 < expected_ns < MS_NS
    second = control(first, drift_ns=MS_NS, now_ns=later, delay_ns=delay_ns, rules=RULES)
    assert abs(second.correction_ppb) < abs(first.correction_ppb)


def test_nothing_is_pending_once_the_delay_has_passed_except_the_speed_in_force() -> None:
    delay_ns = 300 * MS_NS
    state = restarted(ControlState(), now_ns=OwnNs(10**12), correction_ppb=1_000_000)
    assert pending_ns(state, now_ns=OwnNs(10**12), delay_ns=delay_ns) == scale_ppb(
        delay_ns, 1_000_000
    )
