"""Guidance: from what the cloud asked and what the LAN says to one mode and one target.

The last good word of the LAN is kept: when the beacon process, the master or the LAN itself
goes silent, the device slides along the same timeline while the clock map's bound holds. It is
also kept across a change of master, until the new master's clock is known: a new term
continues the same timeline.
"""

from dataclasses import dataclass, field, replace

from unisono.core.clockmap import ClockMap
from unisono.core.mode import LanView, Mode, ModeRules, ModeState, next_mode
from unisono.core.session import SessionSpec
from unisono.core.target import Target, wall_target
from unisono.core.timeline import Timeline
from unisono.core.units import NS_PER_MS, OwnNs, WallNs

# What a wall clock of unknown health may be wrong by; health is not measured yet.
WALL_BOUND_NS = 20 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class LanWord:
    """What the beacon process last said; see ``bus.topics.Timing``."""

    session_id: str
    term: int
    clock_map: ClockMap | None
    timeline: Timeline | None
    beacon_own_ns: OwnNs | None
    stable_since_own_ns: OwnNs | None


@dataclass(frozen=True, slots=True)
class Guidance:
    """Mode and what it rests on. ``good`` is the last word that had a map and a timeline."""

    state: ModeState = field(default_factory=ModeState)
    word: LanWord | None = None
    good: LanWord | None = None
    mode_ns: dict[Mode, int] = field(default_factory=dict)
    transitions: dict[str, int] = field(default_factory=dict)
    seen_at_ns: OwnNs | None = None
    session_id: str | None = None


def heard(guidance: Guidance, word: LanWord) -> Guidance:
    """After a word from the beacon process."""
    usable = word.clock_map is not None and word.timeline is not None
    same = guidance.good is not None and guidance.good.session_id == word.session_id
    return replace(guidance, word=word, good=word if usable else guidance.good if same else None)


def guide(
    guidance: Guidance,
    *,
    session: SessionSpec | None,
    rules: ModeRules,
    now_ns: OwnNs,
    wall_ns: WallNs,
) -> tuple[Guidance, Target | None]:
    """One look: the mode, and the target it gives (None: nothing to play).

    ``now_ns`` and ``wall_ns`` are one instant on both clocks.
    """
    session_id = session.session_id if session else None
    word = guidance.word if guidance.word and guidance.word.session_id == session_id else None
    good = guidance.good if guidance.good and guidance.good.session_id == session_id else None
    bound_ns = good.clock_map.bound_at_ns(now_ns) if good and good.clock_map else None
    lan = LanView(
        word.beacon_own_ns if word else None,
        word.stable_since_own_ns if word else None,
        bound_ns,
    )
    old = guidance.state
    new = next_mode(
        old,
        session=session is not None,
        lan=lan,
        rules=rules,
        now_ns=now_ns,
        another=session_id != guidance.session_id,
    )
    guidance = replace(
        guidance,
        state=new,
        mode_ns=_spent(guidance, now_ns),
        transitions=_counted(guidance.transitions, old.mode, new.mode),
        seen_at_ns=now_ns,
        session_id=session_id,
    )
    if session is None:
        return guidance, None
    if new.mode in {Mode.LAN, Mode.HOLDOVER} and good and good.clock_map and good.timeline:
        return guidance, Target(good.timeline, good.clock_map)
    return guidance, wall_target(
        start_at_ns=WallNs(session.start_at_ms * NS_PER_MS),
        length_ns=session.playlist.length_ns,
        own_ns=now_ns,
        wall_ns=wall_ns,
        bound_ns=WALL_BOUND_NS,
    )


def _spent(guidance: Guidance, now_ns: OwnNs) -> dict[Mode, int]:
    if guidance.seen_at_ns is None:
        return guidance.mode_ns
    mode = guidance.state.mode
    spent_ns = guidance.mode_ns.get(mode, 0) + now_ns - guidance.seen_at_ns
    return {**guidance.mode_ns, mode: spent_ns}


def _counted(counts: dict[str, int], old: Mode, new: Mode) -> dict[str, int]:
    if old is new:
        return counts
    name = f"{old}>{new}"
    return {**counts, name: counts.get(name, 0) + 1}
