"""Steering: what to ask of the player next, from what it does and what is due.

Stages, and what moves between them::

    idle ──session──▶ landing ──cued──▶ armed ──instant──▶ running
                         ▲  ▲                                │
                         │  └───── |drift| > hard reset ─────┤
                         └───────── player lost ─────────────┘

*Landing* cues the player, paused, at a phase that will be due a little later; *armed* waits for
that instant and unpauses. A start at phase 0, a late join and a hard reset are the same move:
the picture comes to life exactly on the timeline instead of being chased towards it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from unisono.core.control import ControlRules, ControlState, control, restarted
from unisono.core.playerstate import PlayerSample, PlayerState, PlayerTraits
from unisono.core.target import Target
from unisono.core.timeline import wrap_error_ns
from unisono.core.units import NS_PER_MS, NS_PER_S, PPB, OwnNs


class Stage(StrEnum):
    """What the corrector is busy with."""

    IDLE = "idle"
    LANDING = "landing"
    ARMED = "armed"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Cue:
    """Load if needed, and show the frame at ``phase_ns``, paused."""

    phase_ns: int


@dataclass(frozen=True, slots=True)
class Play:
    """Unpause at ``at_own_ns``; an instant already past means at once."""

    at_own_ns: OwnNs


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """Play at ``speed`` from now on."""

    speed: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Unload."""


Action = Cue | Play | SetSpeed | Stop


@dataclass(frozen=True, slots=True)
class SteeringRules:
    """Limits, from the site's flags."""

    control: ControlRules
    hard_reset_ns: int
    # After a seek, no other for this long: the clock must first settle and be measured.
    cool_down_ns: int = 3 * NS_PER_S
    # Room for the cue on top of what a seek has cost before.
    landing_margin_ns: int = 150 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at the player gave.

    ``holds_playlist``: what it has loaded is this session's playlist.
    """

    sample: PlayerSample
    holds_playlist: bool
    traits: PlayerTraits


@dataclass(frozen=True, slots=True)
class SteeringState:
    """Where steering stands. ``elapsed_ns`` is the media time that was cued (landing, armed)."""

    stage: Stage = Stage.IDLE
    control: ControlState = field(default_factory=ControlState)
    elapsed_ns: int = 0
    acted_at_ns: OwnNs | None = None  # when the cue or the unpausing was asked
    landed_at_ns: OwnNs | None = None  # when it last began to run
    drift_ns: int | None = None
    seeks: int = 0
    speed_changes: int = 0


Step = tuple[SteeringState, tuple[Action, ...]]


@dataclass(frozen=True, slots=True)
class _Look:
    """All that one decision rests on, besides the state."""

    target: Target
    seen: Observation
    rules: SteeringRules
    now_ns: OwnNs


# A cue or a start that shows no effect for this long is asked again.
PATIENCE_NS = 5 * NS_PER_S
# No landing aims so far ahead; the first frame, which may wait for hours, is no landing.
FAR_NS = 2 * NS_PER_S


def steer(
    state: SteeringState,
    *,
    target: Target | None,
    seen: Observation,
    rules: SteeringRules,
    now_ns: OwnNs,
) -> Step:
    """One look, one decision. ``target`` None: nothing is to be played."""
    if target is None:
        if state.stage is Stage.IDLE and seen.sample.state in _SHOWS_NOTHING:
            return state, ()
        return SteeringState(seeks=state.seeks, speed_changes=state.speed_changes), (Stop(),)
    return _BY_PLAYER_STATE[seen.sample.state](state, _Look(target, seen, rules, now_ns))


def _when_absent(state: SteeringState, _: _Look) -> Step:
    return replace(state, stage=Stage.IDLE, drift_ns=None, landed_at_ns=None), ()


def _when_seeking(state: SteeringState, _: _Look) -> Step:
    return replace(state, drift_ns=None), ()


def _waiting(state: SteeringState, now_ns: OwnNs) -> bool:
    return state.acted_at_ns is not None and now_ns - state.acted_at_ns < PATIENCE_NS


def _wait_or_land(state: SteeringState, look: _Look) -> Step:
    if state.stage is Stage.LANDING and _waiting(state, look.now_ns):
        return state, ()
    return _land(state, look)


def _land(state: SteeringState, look: _Look) -> Step:
    """Cue a place that is due once the player can be there; the first frame before the start."""
    target, traits, now_ns = look.target, look.seen.traits, look.now_ns
    ahead_ns = traits.seek_cost_ns + look.rules.landing_margin_ns
    elapsed_ns = max(0, target.elapsed_ns(OwnNs(now_ns + ahead_ns)))
    frame_ns = max(1, traits.frame_ns)
    elapsed_ns = -(-elapsed_ns // frame_ns) * frame_ns  # a frame's beginning: it is shown exactly
    first = state.stage is Stage.IDLE and elapsed_ns == 0
    landing = SteeringState(
        stage=Stage.LANDING,
        control=restarted(state.control, now_ns=now_ns),
        elapsed_ns=elapsed_ns,
        acted_at_ns=now_ns,
        seeks=state.seeks + (0 if first else 1),
        speed_changes=state.speed_changes,
    )
    return landing, (SetSpeed(target.timeline.speed), Cue(elapsed_ns % target.length_ns))


def _when_cued(state: SteeringState, look: _Look) -> Step:
    target, seen, now_ns = look.target, look.seen, look.now_ns
    if state.stage is Stage.ARMED and _waiting(state, now_ns):
        return state, ()
    if state.stage is not Stage.LANDING or not seen.holds_playlist:
        return _wait_or_land(state, look)
    elapsed_ns = state.elapsed_ns
    if seen.sample.phase_ns is not None:  # what is on screen counts, not what was asked
        asked_ns = elapsed_ns % target.length_ns
        elapsed_ns += wrap_error_ns(seen.sample.phase_ns - asked_ns, target.length_ns)
    elapsed_ns = _in_the_loop_under_way(elapsed_ns, target, now_ns)
    # Its clock will start that far ahead of what is cued, so it must start that much later.
    instant_ns = target.instant_of(elapsed_ns + seen.traits.start_lead_ns)
    if instant_ns - now_ns > NS_PER_S // 2:
        # The clock map, and so the instant, still improves: decide shortly before.
        if elapsed_ns > 0 and instant_ns - now_ns > FAR_NS:
            return _land(state, look)  # the timeline has changed since: aim anew
        return replace(state, acted_at_ns=now_ns), ()
    if instant_ns < now_ns - look.rules.hard_reset_ns:
        return _land(state, look)  # the cue took too long
    armed = replace(state, stage=Stage.ARMED, acted_at_ns=OwnNs(max(now_ns, instant_ns)))
    return armed, (Play(instant_ns),)


def _in_the_loop_under_way(elapsed_ns: int, target: Target, now_ns: OwnNs) -> int:
    """The same place in the film, in the loop that makes it due nearest to now.

    Elapsed times of two timelines differ by whole loops: the cloud's counts from the session's
    start, the LAN's from a loop's. Never before the start.
    """
    loops = round((target.elapsed_ns(now_ns) - elapsed_ns) / target.length_ns)
    nearest_ns = elapsed_ns + loops * target.length_ns
    return nearest_ns if nearest_ns >= 0 else elapsed_ns % target.length_ns


def _when_playing(state: SteeringState, look: _Look) -> Step:
    target, sample, now_ns = look.target, look.seen.sample, look.now_ns
    # Running well before the start is another show's picture; a hair before it is a hair's
    # difference between the clock maps that the instant was and is now computed with.
    too_early = target.elapsed_ns(now_ns) < -look.rules.hard_reset_ns
    if not look.seen.holds_playlist or too_early:
        return _wait_or_land(state, look)
    if sample.phase_ns is None:
        return replace(state, drift_ns=None), ()
    if state.stage is not Stage.RUNNING:
        # Just started, or found running after our own restart: its speed is what it is.
        taken_over_ppb = round((sample.speed / target.timeline.speed - 1.0) * PPB)
        state = replace(
            state,
            stage=Stage.RUNNING,
            control=restarted(state.control, now_ns=now_ns, correction_ppb=taken_over_ppb),
            landed_at_ns=now_ns,
        )
    drift_ns = target.drift_ns(sample.phase_ns, sample.at_own_ns)
    state = replace(state, drift_ns=drift_ns)
    if abs(drift_ns) > look.rules.hard_reset_ns and not _cooling(state, look):
        return _land(state, look)
    return _correct(state, drift_ns, look)


def _cooling(state: SteeringState, look: _Look) -> bool:
    if state.seeks == 0 or state.landed_at_ns is None:
        return False
    return look.now_ns - state.landed_at_ns < look.rules.cool_down_ns


def _correct(state: SteeringState, drift_ns: int, look: _Look) -> Step:
    before_ppb = state.control.correction_ppb
    after = control(
        state.control,
        drift_ns=drift_ns,
        now_ns=look.now_ns,
        delay_ns=look.seen.traits.speed_delay_ns,
        rules=look.rules.control,
    )
    state = replace(state, control=after)
    if after.correction_ppb == before_ppb:
        return state, ()
    speed = look.target.timeline.speed * (1.0 + after.correction_ppb / PPB)
    return replace(state, speed_changes=state.speed_changes + 1), (SetSpeed(speed),)


_SHOWS_NOTHING = {PlayerState.ABSENT, PlayerState.IDLE, PlayerState.SEEKING}

_BY_PLAYER_STATE: dict[PlayerState, Callable[[SteeringState, _Look], Step]] = {
    PlayerState.ABSENT: _when_absent,
    PlayerState.IDLE: _wait_or_land,
    PlayerState.SEEKING: _when_seeking,
    PlayerState.CUED: _when_cued,
    PlayerState.PLAYING: _when_playing,
}
