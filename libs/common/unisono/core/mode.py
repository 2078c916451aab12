"""Modes: where a device's timing comes from, as one table of transitions.

=========  =========  ==============================================================
from       to         when
=========  =========  ==============================================================
stopped    cloud      a session is there
cloud      lan        LAN enabled, beacons stable for the settle time, bound good
lan        holdover   no beacon for the timeout
holdover   lan        beacons stable again (slewed to, never cut)
holdover   cloud      the bound has grown past its limit, and falling back is allowed;
                      or there is no map to hold over with
any        cloud      the LAN was switched off, or another session has begun
any        stopped    no session
=========  =========  ==============================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from unisono.core.units import OwnNs


class Mode(StrEnum):
    """Where a device's timing comes from now."""

    STOPPED = "stopped"
    CLOUD = "cloud"
    LAN = "lan"
    HOLDOVER = "holdover"


@dataclass(frozen=True, slots=True)
class ModeRules:
    """Thresholds, from the site's flags."""

    lan_enabled: bool
    timeout_ns: int
    settle_ns: int
    max_bound_ns: int
    fallback_to_cloud: bool


@dataclass(frozen=True, slots=True)
class LanView:
    """What is known of the LAN at one instant.

    ``beacon_own_ns``: the newest beacon; ``stable_since_own_ns``: since when they come without a
    gap; ``bound_ns``: the clock map's bound now, None without a map.
    """

    beacon_own_ns: OwnNs | None = None
    stable_since_own_ns: OwnNs | None = None
    bound_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode, since when, and the reason of the last transition."""

    mode: Mode = Mode.STOPPED
    since_own_ns: OwnNs | None = None
    reason: str = "boot"


@dataclass(frozen=True, slots=True)
class _Situation:
    session: bool
    another: bool
    lan: LanView
    rules: ModeRules
    now_ns: OwnNs

    @property
    def silent(self) -> bool:
        beacon_ns = self.lan.beacon_own_ns
        return beacon_ns is None or self.now_ns - beacon_ns > self.rules.timeout_ns

    @property
    def bound_is_good(self) -> bool:
        return self.lan.bound_ns is not None and self.lan.bound_ns <= self.rules.max_bound_ns

    @property
    def stable(self) -> bool:
        since_ns = self.lan.stable_since_own_ns
        settled = since_ns is not None and self.now_ns - since_ns >= self.rules.settle_ns
        return settled and not self.silent and self.bound_is_good


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: from, to, the reason it is counted under, and its condition."""

    source: Mode
    target: Mode
    reason: str
    when: Callable[[_Situation], bool]


_RUNNING = (Mode.CLOUD, Mode.LAN, Mode.HOLDOVER)

# The first row that applies is taken, so the order is part of the rules.
TRANSITIONS: tuple[Transition, ...] = (
    *(Transition(m, Mode.STOPPED, "no_session", lambda s: not s.session) for m in _RUNNING),
    Transition(Mode.STOPPED, Mode.CLOUD, "session", lambda s: s.session),
    *(
        Transition(m, Mode.CLOUD, "another_session", lambda s: s.another)
        for m in (Mode.LAN, Mode.HOLDOVER)
    ),
    *(
        Transition(m, Mode.CLOUD, "lan_disabled", lambda s: not s.rules.lan_enabled)
        for m in (Mode.LAN, Mode.HOLDOVER)
    ),
    Transition(Mode.CLOUD, Mode.LAN, "beacons_stable", lambda s: s.rules.lan_enabled and s.stable),
    Transition(Mode.LAN, Mode.HOLDOVER, "beacons_silent", lambda s: s.silent),
    Transition(Mode.LAN, Mode.HOLDOVER, "bound_lost", lambda s: not s.bound_is_good),
    Transition(Mode.HOLDOVER, Mode.LAN, "beacons_stable", lambda s: s.stable),
    Transition(Mode.HOLDOVER, Mode.CLOUD, "map_lost", lambda s: s.lan.bound_ns is None),
    Transition(
        Mode.HOLDOVER,
        Mode.CLOUD,
        "bound_too_wide",
        lambda s: s.rules.fallback_to_cloud and not s.bound_is_good,
    ),
)


def next_mode(
    state: ModeState,
    *,
    session: bool,
    lan: LanView,
    rules: ModeRules,
    now_ns: OwnNs,
    another: bool = False,
) -> ModeState:
    """The state after looking once; at most one transition at a time.

    ``another``: the session is not the one of the last look.
    """
    situation = _Situation(session, another, lan, rules, now_ns)
    for row in TRANSITIONS:
        if row.source is state.mode and row.when(situation):
            return ModeState(row.target, now_ns, row.reason)
    return state
