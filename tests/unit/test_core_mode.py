"""The mode table, row by row, and what it must never do."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.core.mode import (
    TRANSITIONS,
    LanView,
    Mode,
    ModeRules,
    ModeState,
    next_mode,
)
from unisono.core.units import OwnNs

MS_NS = 1_000_000
NOW = OwnNs(100_000 * MS_NS)
RULES = ModeRules(
    lan_enabled=True,
    timeout_ns=1500 * MS_NS,
    settle_ns=1000 * MS_NS,
    max_bound_ns=20 * MS_NS,
    fallback_to_cloud=True,
)
OFF = ModeRules(False, 1500 * MS_NS, 1000 * MS_NS, 20 * MS_NS, True)
STAY = ModeRules(True, 1500 * MS_NS, 1000 * MS_NS, 20 * MS_NS, False)


def lan(*, silent_ms: int = 10, stable_ms: int | None = 5000, bound_ms: int | None = 1) -> LanView:
    return LanView(
        OwnNs(NOW - silent_ms * MS_NS),
        None if stable_ms is None else OwnNs(NOW - stable_ms * MS_NS),
        None if bound_ms is None else bound_ms * MS_NS,
    )


@pytest.mark.parametrize(
    ("source", "view", "rules", "session", "target", "reason"),
    [
        (Mode.STOPPED, LanView(), RULES, True, Mode.CLOUD, "session"),
        (Mode.CLOUD, lan(), RULES, True, Mode.LAN, "beacons_stable"),
        (Mode.LAN, lan(silent_ms=1501), RULES, True, Mode.HOLDOVER, "beacons_silent"),
        (Mode.LAN, lan(bound_ms=21), RULES, True, Mode.HOLDOVER, "bound_lost"),
        (Mode.HOLDOVER, lan(), RULES, True, Mode.LAN, "beacons_stable"),
        (
            Mode.HOLDOVER,
            lan(silent_ms=9999, bound_ms=21),
            RULES,
            True,
            Mode.CLOUD,
            "bound_too_wide",
        ),
        (Mode.LAN, lan(), OFF, True, Mode.CLOUD, "lan_disabled"),
        (Mode.HOLDOVER, lan(), OFF, True, Mode.CLOUD, "lan_disabled"),
        (Mode.LAN, lan(), RULES, False, Mode.STOPPED, "no_session"),
        (Mode.HOLDOVER, lan(), RULES, False, Mode.STOPPED, "no_session"),
        (Mode.CLOUD, lan(), RULES, False, Mode.STOPPED, "no_session"),
        (Mode.HOLDOVER, lan(silent_ms=2000, bound_ms=None), STAY, True, Mode.CLOUD, "map_lost"),
    ],
)
def test_each_row(
    source: Mode, view: LanView, rules: ModeRules, session: bool, target: Mode, reason: str
) -> None:
    after = next_mode(ModeState(source), session=session, lan=view, rules=rules, now_ns=NOW)
    assert (after.mode, after.reason, after.since_own_ns) == (target, reason, NOW)


@pytest.mark.parametrize(
    ("source", "view", "rules"),
    [
        (Mode.STOPPED, lan(), RULES),
        (Mode.CLOUD, lan(stable_ms=999), RULES),
        (Mode.CLOUD, lan(stable_ms=None), RULES),
        (Mode.CLOUD, lan(bound_ms=None), RULES),
        (Mode.CLOUD, lan(bound_ms=21), RULES),
        (Mode.CLOUD, lan(), OFF),
        (Mode.LAN, lan(silent_ms=1500), RULES),
        (Mode.LAN, lan(stable_ms=None), RULES),
        (Mode.HOLDOVER, lan(silent_ms=60_000), RULES),
        (Mode.HOLDOVER, lan(silent_ms=60_000, bound_ms=21), STAY),
    ],
)
def test_what_changes_nothing(source: Mode, view: LanView, rules: ModeRules) -> None:
    state = ModeState(source, OwnNs(5), "before")
    session = source is not Mode.STOPPED
    assert next_mode(state, session=session, lan=view, rules=rules, now_ns=NOW) is state


optional_ms = st.none() | st.integers(0, 10_000)


@given(st.sampled_from(Mode), optional_ms, optional_ms, optional_ms, st.booleans(), st.booleans())
def test_with_the_lan_off_it_is_never_used(
    source: Mode, beacon: int | None, stable: int | None, bound: int | None, session: bool, fb: bool
) -> None:
    view = LanView(
        None if beacon is None else OwnNs(NOW - beacon * MS_NS),
        None if stable is None else OwnNs(NOW - stable * MS_NS),
        None if bound is None else bound * MS_NS,
    )
    rules = ModeRules(False, 1500 * MS_NS, 0, 20 * MS_NS, fb)
    after = next_mode(ModeState(source), session=session, lan=view, rules=rules, now_ns=NOW)
    assert after.mode in {Mode.STOPPED, Mode.CLOUD}


def test_one_look_never_both_leaves_and_returns() -> None:
    """No view satisfies lan>holdover and holdover>lan at once: the mode cannot flap by itself."""
    for silent, stable, bound in itertools.product((0, 1500, 1501), (None, 0, 5000), (None, 1, 21)):
        view = lan(silent_ms=silent, stable_ms=stable, bound_ms=bound)
        left = next_mode(ModeState(Mode.LAN), session=True, lan=view, rules=RULES, now_ns=NOW)
        if left.mode is Mode.HOLDOVER:
            back = next_mode(left, session=True, lan=view, rules=RULES, now_ns=NOW)
            assert back.mode is not Mode.LAN


@pytest.mark.parametrize("source", [Mode.LAN, Mode.HOLDOVER])
def test_another_session_begins_in_cloud_mode(source: Mode) -> None:
    state = ModeState(source)
    after = next_mode(state, session=True, lan=lan(), rules=RULES, now_ns=NOW, another=True)
    assert (after.mode, after.reason) == (Mode.CLOUD, "another_session")


def test_every_mode_can_be_left_and_reached() -> None:
    assert {row.source for row in TRANSITIONS} == set(Mode)
    assert {row.target for row in TRANSITIONS} == set(Mode)
