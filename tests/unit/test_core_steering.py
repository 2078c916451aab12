"""Steering: what each look at the player leads to."""

from dataclasses import replace

from unisono.core.clockmap import identity
from unisono.core.control import ControlRules
from unisono.core.playerstate import PlayerSample, PlayerState, PlayerTraits
from unisono.core.steering import (
    PATIENCE_NS,
    Action,
    Cue,
    Observation,
    Play,
    SetSpeed,
    Stage,
    SteeringRules,
    SteeringState,
    Stop,
    steer,
)
from unisono.core.target import Target
from unisono.core.timeline import Timeline
from unisono.core.units import OwnNs

MS_NS = 1_000_000
S_NS = 1000 * MS_NS
START = OwnNs(1000 * S_NS)
LENGTH_NS = 60 * S_NS
TARGET = Target(Timeline(START, LENGTH_NS), identity(OwnNs(0)))
TRAITS = PlayerTraits(
    speed_delay_ns=300 * MS_NS,
    start_lead_ns=20 * MS_NS,
    seek_cost_ns=80 * MS_NS,
    frame_ns=S_NS // 25,
)
RULES = SteeringRules(ControlRules(50_000, 30_000_000), hard_reset_ns=500 * MS_NS)
IDLE = SteeringState()


def look(
    state: SteeringState,
    player: PlayerState,
    *,
    at_s: float,
    phase_s: float | None = None,
    holds: bool = True,
    target: Target | None = TARGET,
    speed: float = 1.0,
) -> tuple[SteeringState, tuple[Action, ...]]:
    """One look, ``at_s`` seconds after the session's start."""
    now_ns = OwnNs(START + round(at_s * S_NS))
    phase_ns = None if phase_s is None else round(phase_s * S_NS)
    seen = Observation(PlayerSample(now_ns, player, phase_ns, speed, 0), holds, TRAITS)
    return steer(state, target=target, seen=seen, rules=RULES, now_ns=now_ns)


def test_before_the_start_the_first_frame_is_cued_and_waits() -> None:
    landing, actions = look(IDLE, PlayerState.IDLE, at_s=-5, holds=False)
    assert actions == (SetSpeed(1.0), Cue(0))
    waiting, actions = look(landing, PlayerState.CUED, at_s=-4, phase_s=0)
    assert actions == ()
    armed, actions = look(waiting, PlayerState.CUED, at_s=-0.4, phase_s=0)
    assert actions == (Play(OwnNs(START + TRAITS.start_lead_ns)),)
    assert armed.stage is Stage.ARMED
    assert look(armed, PlayerState.CUED, at_s=-0.1, phase_s=0) == (armed, ())
    running, _ = look(armed, PlayerState.PLAYING, at_s=0.1, phase_s=0.1)
    assert (running.stage, running.drift_ns, running.seeks) == (Stage.RUNNING, 0, 0)


def test_a_long_wait_for_the_start_never_gives_up() -> None:
    state, _ = look(IDLE, PlayerState.IDLE, at_s=-3600, holds=False)
    for at_s in range(-3599, 0):
        state, actions = look(state, PlayerState.CUED, at_s=at_s, phase_s=0)
        assert actions == ()
        assert state.stage is Stage.LANDING


def test_a_late_device_lands_ahead_on_a_frame_and_waits_for_it() -> None:
    landing, actions = look(IDLE, PlayerState.IDLE, at_s=30, holds=False)
    (cue,) = (a for a in actions if isinstance(a, Cue))
    assert cue.phase_ns % TRAITS.frame_ns == 0
    assert 0 < cue.phase_ns - 30 * S_NS <= 300 * MS_NS
    _, actions = look(landing, PlayerState.CUED, at_s=30.1, phase_s=cue.phase_ns / S_NS)
    assert actions == (Play(OwnNs(START + cue.phase_ns + TRAITS.start_lead_ns)),)


def test_what_is_on_screen_counts_not_what_was_asked() -> None:
    landing, actions = look(IDLE, PlayerState.IDLE, at_s=30, holds=False)
    shown_s = actions[1].phase_ns / S_NS + 0.04 if isinstance(actions[1], Cue) else 0
    _, actions = look(landing, PlayerState.CUED, at_s=30.1, phase_s=shown_s)
    assert actions == (Play(OwnNs(START + round(shown_s * S_NS) + TRAITS.start_lead_ns)),)


def test_a_cue_that_took_too_long_is_aimed_again() -> None:
    landing, _ = look(IDLE, PlayerState.IDLE, at_s=30, holds=False)
    again, actions = look(landing, PlayerState.CUED, at_s=32, phase_s=30.24)
    assert again.stage is Stage.LANDING
    assert any(isinstance(a, Cue) and a.phase_ns > 32 * S_NS for a in actions)


def test_a_cue_without_effect_is_asked_again_after_a_while() -> None:
    landing, _ = look(IDLE, PlayerState.IDLE, at_s=30, holds=False)
    assert look(landing, PlayerState.IDLE, at_s=31, holds=False) == (landing, ())
    _, actions = look(landing, PlayerState.IDLE, at_s=30 + PATIENCE_NS / S_NS, holds=False)
    assert any(isinstance(a, Cue) for a in actions)


def test_a_small_drift_is_steered_by_speed_never_by_a_seek() -> None:
    running = SteeringState(stage=Stage.RUNNING, landed_at_ns=START)
    after, actions = look(running, PlayerState.PLAYING, at_s=20, phase_s=20.4)
    (action,) = actions
    assert isinstance(action, SetSpeed)
    assert 0.97 <= action.speed < 1.0
    assert (after.seeks, after.speed_changes, after.drift_ns) == (0, 1, 400 * MS_NS)


def test_a_large_drift_is_landed_once_and_then_cooled_down() -> None:
    running = SteeringState(stage=Stage.RUNNING, landed_at_ns=START)
    landing, actions = look(running, PlayerState.PLAYING, at_s=20, phase_s=22)
    assert any(isinstance(a, Cue) for a in actions)
    assert landing.seeks == 1
    landed = replace(landing, stage=Stage.RUNNING, landed_at_ns=OwnNs(START + 20 * S_NS))
    hot, actions = look(landed, PlayerState.PLAYING, at_s=21, phase_s=23)
    assert not any(isinstance(a, Cue) for a in actions)
    _, actions = look(hot, PlayerState.PLAYING, at_s=24, phase_s=26)
    assert any(isinstance(a, Cue) for a in actions)


def test_drift_is_measured_across_the_seam_of_the_loop() -> None:
    running = SteeringState(stage=Stage.RUNNING, landed_at_ns=START)
    after, actions = look(running, PlayerState.PLAYING, at_s=59.99, phase_s=0.01)
    assert after.drift_ns == 20 * MS_NS
    assert not any(isinstance(a, Cue) for a in actions)


def test_a_picture_found_running_is_taken_over_without_a_cut() -> None:
    taken, actions = look(IDLE, PlayerState.PLAYING, at_s=33, phase_s=33.003, speed=0.998)
    assert taken.stage is Stage.RUNNING
    assert not any(isinstance(a, Cue | Play) for a in actions)


def test_another_film_found_running_is_replaced() -> None:
    _, actions = look(IDLE, PlayerState.PLAYING, at_s=33, phase_s=2, holds=False)
    assert any(isinstance(a, Cue) for a in actions)


def test_a_lost_player_is_landed_anew_when_it_is_back() -> None:
    running = SteeringState(stage=Stage.RUNNING, landed_at_ns=START)
    lost, actions = look(running, PlayerState.ABSENT, at_s=20)
    assert (lost.stage, lost.drift_ns, actions) == (Stage.IDLE, None, ())
    _, actions = look(lost, PlayerState.IDLE, at_s=21, holds=False)
    assert any(isinstance(a, Cue) and a.phase_ns > 21 * S_NS for a in actions)


def test_nothing_to_play_stops_the_player_once() -> None:
    running = SteeringState(stage=Stage.RUNNING, seeks=3)
    stopped, actions = look(running, PlayerState.PLAYING, at_s=20, phase_s=20, target=None)
    assert actions == (Stop(),)
    assert stopped.seeks == 3, "counters survive"
    assert look(stopped, PlayerState.IDLE, at_s=21, target=None) == (stopped, ())


def test_a_picture_left_over_from_before_our_restart_is_stopped_too() -> None:
    _, actions = look(IDLE, PlayerState.PLAYING, at_s=20, phase_s=20, target=None)
    assert actions == (Stop(),)


def test_a_start_that_was_a_hair_early_is_not_begun_again() -> None:
    armed = SteeringState(stage=Stage.ARMED)
    running, actions = look(armed, PlayerState.PLAYING, at_s=-0.0001, phase_s=0.0002)
    assert (running.stage, running.drift_ns) == (Stage.RUNNING, 300_000)
    assert not any(isinstance(a, Cue) for a in actions)


def test_a_cue_given_by_the_cloud_s_timeline_is_good_for_the_lan_s() -> None:
    """The show runs for an hour; the LAN's timeline counts from the loop under way only."""
    landing, actions = look(IDLE, PlayerState.IDLE, at_s=3610, holds=False)
    (cue,) = (a for a in actions if isinstance(a, Cue))
    lan = Target(Timeline(START + 3600 * S_NS, LENGTH_NS), identity(OwnNs(0)))
    _, actions = look(
        landing, PlayerState.CUED, at_s=3610.1, phase_s=cue.phase_ns / S_NS, target=lan
    )
    (play,) = (a for a in actions if isinstance(a, Play))
    assert 0 <= play.at_own_ns - (START + 3610 * S_NS) < 500 * MS_NS


def test_a_cue_far_from_what_is_due_after_the_timeline_changed_is_aimed_again() -> None:
    landing, _ = look(IDLE, PlayerState.IDLE, at_s=30, holds=False)
    moved = Target(Timeline(START + 10 * S_NS, LENGTH_NS), identity(OwnNs(0)))
    again, actions = look(landing, PlayerState.CUED, at_s=30.1, phase_s=30.24, target=moved)
    assert again.stage is Stage.LANDING
    assert any(isinstance(a, Cue) and abs(a.phase_ns - 20 * S_NS) < S_NS for a in actions)


def test_a_short_film_waits_for_the_start_too() -> None:
    short = Target(Timeline(START, 3 * S_NS), identity(OwnNs(0)))
    landing, _ = look(IDLE, PlayerState.IDLE, at_s=-5, holds=False, target=short)
    waiting, actions = look(landing, PlayerState.CUED, at_s=-4, phase_s=0, target=short)
    assert actions == ()
    _, actions = look(waiting, PlayerState.CUED, at_s=-0.3, phase_s=0, target=short)
    assert actions == (Play(OwnNs(START + TRAITS.start_lead_ns)),)


def test_a_film_still_running_is_cued_again_for_a_session_yet_to_start() -> None:
    running = SteeringState(stage=Stage.RUNNING)
    _, actions = look(running, PlayerState.PLAYING, at_s=-3, phase_s=40)
    assert Cue(0) in actions
