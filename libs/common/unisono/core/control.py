"""Control law: from drift to a speed correction, with the player's delay in the model.

Three parts, each of one job:

* an *observer* follows drift and the rate by which the player's own clock differs. It knows
  what was ordered and when that takes effect, so that it is surprised only by what the player
  does by itself: an alpha-beta filter (a Kalman filter with two states and fixed gains). A
  reading far off the prediction is a busy machine's and hardly counts; the third in a row on
  one side is a jump of the player, and is believed.
* a *predictor* carries the estimate to the instant at which a command given now takes effect
  (Smith, "Closer control of loops with dead time", 1957): what was ordered is not ordered twice,
  and so the loop does not ring.
* a *proportional law* on the prediction, less the rate: no residue stays behind, and a large
  correction teaches the observer nothing wrong.

Corrections are in ppb of normal speed: +1_000_000 is 0.1 % faster. Positive drift (the player
is ahead) asks for a negative correction.
"""

from dataclasses import dataclass, replace

from unisono.core.units import NS_PER_S, PPB, OwnNs, scale_ppb


@dataclass(frozen=True, slots=True)
class ControlRules:
    """Limits and time constants.

    ``settle_ns``: drift decays with this time constant. ``min_step_ppb``: smaller changes of
    speed are not worth a command; 20 ppm let 14 us of drift stand at the default settling time.
    """

    dead_band_ns: int
    max_correction_ppb: int
    settle_ns: int = 700_000_000
    min_step_ppb: int = 20_000


@dataclass(frozen=True, slots=True)
class Command:
    """A correction ordered at an instant."""

    at_ns: OwnNs
    correction_ppb: int


@dataclass(frozen=True, slots=True)
class ControlState:
    """The observer's estimate at ``at_ns``, and the commands that still matter, newest last."""

    commands: tuple[Command, ...] = ()
    drift_ns: int = 0
    rate_ppb: int = 0
    at_ns: OwnNs | None = None
    surprises: int = 0  # in a row, signed by their side

    @property
    def correction_ppb(self) -> int:
        """The correction in force, or about to be."""
        return self.commands[-1].correction_ppb if self.commands else 0


# Gains per step of about 0.1 s. Readings of mpv scatter by 0.05 ms on a quiet machine: with
# these the estimate scatters by 0.02 ms, and the rate is known after some seconds.
ALPHA_PCT = 30
BETA_PCT = 1
# A reading further off than this is not scatter.
SURPRISE_NS = 400_000
BELIEVED_AFTER = 3
# After a longer gap nothing that was predicted is worth keeping.
STALE_NS = 2 * NS_PER_S
# No player's clock is further off than this: a crystal's 100 ppm, twice, and a sound card's.
MAX_RATE_PPB = 500_000


def effect_ns(commands: tuple[Command, ...], *, from_ns: int, to_ns: int, delay_ns: int) -> int:
    """What ``commands`` add to the drift between two instants.

    A command acts from ``delay_ns`` after it was given until its successor does.
    """
    total_ns = 0
    for index, command in enumerate(commands):
        begin_ns = max(from_ns, command.at_ns + delay_ns)
        last = index + 1 == len(commands)
        end_ns = to_ns if last else min(to_ns, commands[index + 1].at_ns + delay_ns)
        total_ns += scale_ppb(max(0, end_ns - begin_ns), command.correction_ppb)
    return total_ns


def control(
    state: ControlState, *, drift_ns: int, now_ns: OwnNs, delay_ns: int, rules: ControlRules
) -> ControlState:
    """One step: the new state, whose ``correction_ppb`` is to be in force from now on.

    ``drift_ns`` is player minus timeline, measured at ``now_ns``; ``delay_ns`` the player's.
    A state whose correction equals the old one's asks for no command.
    """
    state = _observed(state, drift_ns, now_ns, delay_ns)
    then_ns = now_ns + delay_ns
    expected_ns = state.drift_ns + scale_ppb(delay_ns, state.rate_ppb)
    expected_ns += effect_ns(state.commands, from_ns=now_ns, to_ns=then_ns, delay_ns=delay_ns)
    error_ns = 0 if abs(expected_ns) <= rules.dead_band_ns else expected_ns
    wanted_ppb = -error_ns * PPB // rules.settle_ns - state.rate_ppb
    limit_ppb = rules.max_correction_ppb
    wanted_ppb = max(-limit_ppb, min(limit_ppb, wanted_ppb))
    if abs(wanted_ppb - state.correction_ppb) < rules.min_step_ppb:
        return state
    return replace(state, commands=(*state.commands, Command(now_ns, wanted_ppb)))


def restarted(state: ControlState, *, now_ns: OwnNs, correction_ppb: int = 0) -> ControlState:
    """After a seek or a start: nothing is under way; the learnt rate stays.

    ``correction_ppb`` is the player's speed at this moment.
    """
    # Dated back, so that it counts as in effect whatever the player's delay.
    command = Command(OwnNs(now_ns - STALE_NS), correction_ppb)
    return ControlState(commands=(command,), rate_ppb=state.rate_ppb)


def _observed(state: ControlState, drift_ns: int, now_ns: OwnNs, delay_ns: int) -> ControlState:
    """The estimate carried to ``now_ns`` and corrected by the reading."""
    useful = _still_of_use(state.commands, now_ns - delay_ns)
    if state.at_ns is None or not 0 < now_ns - state.at_ns <= STALE_NS:
        return replace(state, commands=useful, drift_ns=drift_ns, at_ns=now_ns, surprises=0)
    since_ns = now_ns - state.at_ns
    predicted_ns = state.drift_ns + scale_ppb(since_ns, state.rate_ppb)
    predicted_ns += effect_ns(state.commands, from_ns=state.at_ns, to_ns=now_ns, delay_ns=delay_ns)
    surprise_ns = drift_ns - predicted_ns
    rate_ppb, surprises = state.rate_ppb, 0
    if abs(surprise_ns) <= SURPRISE_NS:
        drift_ns = predicted_ns + surprise_ns * ALPHA_PCT // 100
        rate_ppb += surprise_ns * BETA_PCT // 100 * PPB // since_ns
    else:
        side = 1 if surprise_ns > 0 else -1
        surprises = side if state.surprises * side <= 0 else state.surprises + side
        if abs(surprises) < BELIEVED_AFTER:
            drift_ns = predicted_ns + side * SURPRISE_NS * ALPHA_PCT // 100
        else:
            surprises = 0
    return ControlState(
        commands=useful,
        drift_ns=drift_ns,
        rate_ppb=max(-MAX_RATE_PPB, min(MAX_RATE_PPB, rate_ppb)),
        at_ns=now_ns,
        surprises=surprises,
    )


def _still_of_use(commands: tuple[Command, ...], before_ns: int) -> tuple[Command, ...]:
    """Drop commands whose successor is itself in effect already."""
    keep = commands
    while len(keep) > 1 and keep[1].at_ns <= before_ns:
        keep = keep[1:]
    return keep
