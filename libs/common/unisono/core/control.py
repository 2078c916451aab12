"""Control law: from drift to a speed correction, with the player's delay in the model.

A speed command takes effect only after a delay (0.1 to 0.6 s on mpv). A controller that forgets
what it has already ordered corrects the same drift twice and rings. This one adds to the
measured drift what the commands still under way will do to it (a Smith predictor: O. J. M.
Smith, "Closer control of loops with dead time", 1957; for an integrating plant it comes down
to this sum), and applies a proportional and an integral term to the result. The integral term
learns the rate by which the player's own clock differs, so no residue stays behind.

Corrections are in ppb of normal speed: +1_000_000 is 0.1 % faster. Positive drift (the player
is ahead) asks for a negative correction.
"""

from dataclasses import dataclass, replace

from unisono.core.units import NS_PER_S, PPB, OwnNs, scale_ppb


@dataclass(frozen=True, slots=True)
class ControlRules:
    """Limits and time constants.

    ``settle_ns``: drift decays with this time constant. ``integral_ns``: that of learning the
    player's rate. ``min_step_ppb``: smaller changes of speed are not worth a command.
    """

    dead_band_ns: int
    max_correction_ppb: int
    settle_ns: int = 1_000_000_000
    integral_ns: int = 6_000_000_000
    min_step_ppb: int = 2_000


@dataclass(frozen=True, slots=True)
class Command:
    """A correction ordered at an instant."""

    at_ns: OwnNs
    correction_ppb: int


@dataclass(frozen=True, slots=True)
class ControlState:
    """The commands that may still be under way (newest last), and the rate learnt so far."""

    commands: tuple[Command, ...] = ()
    rate_ppb: int = 0
    stepped_at_ns: OwnNs | None = None

    @property
    def correction_ppb(self) -> int:
        """The correction in force, or about to be."""
        return self.commands[-1].correction_ppb if self.commands else 0


# The integral learns only near the target: a start or a fault says nothing about the rate.
INTEGRAL_RANGE_NS = 5_000_000
# No player's clock is further off than this: a crystal's 100 ppm, twice, and a sound card's.
MAX_RATE_PPB = 500_000


def pending_ns(state: ControlState, *, now_ns: OwnNs, delay_ns: int) -> int:
    """How much the drift will still change by commands given but not yet in effect.

    The correction of each command acts from ``at + delay`` until its successor's; what lies
    after ``now`` is still to come, up to ``now + delay``.
    """
    total_ns = 0
    horizon_ns = now_ns + delay_ns
    for index, command in enumerate(state.commands):
        last = index + 1 == len(state.commands)
        end_ns = horizon_ns if last else state.commands[index + 1].at_ns + delay_ns
        begin_ns = command.at_ns + delay_ns
        total_ns += scale_ppb(max(0, end_ns - max(begin_ns, now_ns)), command.correction_ppb)
    # Before the oldest command nothing was corrected; it is dropped only once it has no effect.
    return total_ns


def control(
    state: ControlState, *, drift_ns: int, now_ns: OwnNs, delay_ns: int, rules: ControlRules
) -> ControlState:
    """One step: the new state, whose ``correction_ppb`` is to be in force from now on.

    ``drift_ns`` is player minus timeline, measured at ``now_ns``; ``delay_ns`` the player's.
    A state whose correction equals the old one's asks for no command.
    """
    expected_ns = drift_ns + pending_ns(state, now_ns=now_ns, delay_ns=delay_ns)
    # The player's own rate acts meanwhile as well; in steady state the two cancel.
    expected_ns += scale_ppb(delay_ns, state.rate_ppb)
    rate_ppb = _learn_rate(state, expected_ns, now_ns, rules)
    error_ns = 0 if abs(expected_ns) <= rules.dead_band_ns else expected_ns
    wanted_ppb = -error_ns * PPB // rules.settle_ns - rate_ppb
    limit_ppb = rules.max_correction_ppb
    wanted_ppb = max(-limit_ppb, min(limit_ppb, wanted_ppb))
    commands = _still_of_use(state.commands, now_ns - delay_ns)
    if abs(wanted_ppb - state.correction_ppb) >= rules.min_step_ppb:
        commands = (*commands, Command(now_ns, wanted_ppb))
    return ControlState(commands, rate_ppb, now_ns)


def restarted(state: ControlState, *, now_ns: OwnNs, correction_ppb: int = 0) -> ControlState:
    """After a seek or a start: nothing is under way; the learnt rate stays.

    ``correction_ppb`` is the player's speed at this moment.
    """
    command = Command(OwnNs(now_ns - NS_PER_S), correction_ppb)
    return replace(state, commands=(command,), stepped_at_ns=None)


def _learn_rate(state: ControlState, expected_ns: int, now_ns: OwnNs, rules: ControlRules) -> int:
    saturated = abs(state.correction_ppb) >= rules.max_correction_ppb
    if state.stepped_at_ns is None or saturated or abs(expected_ns) > INTEGRAL_RANGE_NS:
        return state.rate_ppb
    # A step that comes late (a suspended process) must not weigh more than a second.
    since_ns = min(now_ns - state.stepped_at_ns, NS_PER_S)
    gained_ppb = expected_ns * PPB // rules.settle_ns * since_ns // rules.integral_ns
    return max(-MAX_RATE_PPB, min(MAX_RATE_PPB, state.rate_ppb + gained_ppb))


def _still_of_use(commands: tuple[Command, ...], before_ns: int) -> tuple[Command, ...]:
    """Drop commands whose successor is itself in effect already."""
    keep = commands
    while len(keep) > 1 and keep[1].at_ns <= before_ns:
        keep = keep[1:]
    return keep
