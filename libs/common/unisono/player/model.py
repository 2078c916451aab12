"""A player as a pure model: position as a function of time, with the failings of a real one.

Every method takes ``now_ns``, which never runs backwards. Positions are absolute, from the
start of what is loaded, and wrap at its span. A command changes nothing before its delay is
over, as in a real player; the noise of readings comes from a seed.
"""

import random
from dataclasses import dataclass
from enum import Enum

from unisono.core.playerstate import PlayerState, PlayerTraits
from unisono.core.units import NS_PER_MS, NS_PER_S, scale_ppb

SIM_TRAITS = PlayerTraits(
    speed_delay_ns=30 * NS_PER_MS,
    start_lead_ns=0,
    seek_cost_ns=35 * NS_PER_MS,
    frame_ns=NS_PER_S // 30,
)


@dataclass(frozen=True, slots=True)
class Failings:
    """What makes a player hard to steer, besides its `PlayerTraits`.

    ``rate_error_ppb`` is how much faster than the clock it runs; ``noise_ns`` is the standard
    deviation of a reading; ``load_cost_ns`` is from a load to the first frame.
    """

    rate_error_ppb: int = 0
    noise_ns: int = 0
    load_cost_ns: int = 25 * NS_PER_MS
    seed: int = 0


class _Change(Enum):
    SPEED = "speed"
    READY = "ready"


class PlayerModel:
    """One simulated player; see the module."""

    def __init__(self, traits: PlayerTraits = SIM_TRAITS, failings: Failings | None = None) -> None:
        self.traits = traits
        self._failings = failings or Failings()
        self._random = random.Random(self._failings.seed)  # noqa: S311 - repeatable, not secret
        self._span_ns: int | None = None
        self._at_ns = 0
        self._position_ns = 0
        self._slope = 1.0
        self._paused = False
        self._fresh = False
        self._speed = 1.0
        self._due: list[tuple[int, _Change, float]] = []

    @property
    def paused(self) -> bool:
        """If paused, with or without a film."""
        return self._paused

    @property
    def speed(self) -> float:
        """The speed last commanded."""
        return self._speed

    @property
    def span_ns(self) -> int | None:
        """Length of what is loaded, None for nothing."""
        return self._span_ns

    def state(self, now_ns: int) -> PlayerState:
        """What the player is doing."""
        self._advance(now_ns)
        if self._span_ns is None:
            return PlayerState.IDLE
        if self._ready_at_ns() is not None:
            return PlayerState.SEEKING
        return PlayerState.CUED if self._paused else PlayerState.PLAYING

    def ready_at_ns(self, now_ns: int) -> int | None:
        """When the load or seek under way ends; None if there is none."""
        self._advance(now_ns)
        return self._ready_at_ns()

    def load(self, span_ns: int, position_ns: int, now_ns: int) -> None:
        """Show the frame at ``position_ns``, after the cost of a load."""
        self._advance(now_ns)
        self._span_ns = span_ns
        self._jump(position_ns, now_ns, self._failings.load_cost_ns)

    def stop(self, now_ns: int) -> None:
        """Nothing is loaded any more."""
        self._advance(now_ns)
        self._span_ns = None
        self._due = [due for due in self._due if due[1] is not _Change.READY]

    def seek(self, position_ns: int, now_ns: int) -> None:
        """Jump; the film stands still for the cost of a seek."""
        self._advance(now_ns)
        self._jump(position_ns, now_ns, self.traits.seek_cost_ns)

    def set_paused(self, paused: bool, now_ns: int) -> None:
        """Pause or go on, at once; the first start after a jump begins ``start_lead_ns`` ahead."""
        self._advance(now_ns)
        if self._paused and not paused and self._fresh and self._span_ns is not None:
            self._position_ns += self.traits.start_lead_ns
            self._fresh = False
        self._paused = paused

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Change the slope, ``speed_delay_ns`` from now."""
        self._advance(now_ns)
        self._speed = speed
        delay_ns = self.traits.speed_delay_ns
        self._due.append((now_ns + delay_ns, _Change.SPEED, speed))
        self._due.sort(key=lambda due: due[0])

    def position_ns(self, now_ns: int) -> int | None:
        """The exact position; None while there is no clock."""
        state = self.state(now_ns)
        if state in (PlayerState.IDLE, PlayerState.SEEKING) or self._span_ns is None:
            return None
        return self._position_ns % self._span_ns

    def read_ns(self, now_ns: int) -> int | None:
        """A reading of the clock, with noise while it runs."""
        position_ns = self.position_ns(now_ns)
        if position_ns is None or self._paused or not self._failings.noise_ns:
            return position_ns
        return position_ns + round(self._random.gauss(0, self._failings.noise_ns))

    def _jump(self, position_ns: int, now_ns: int, cost_ns: int) -> None:
        self._position_ns = position_ns
        self._fresh = True
        self._due = [due for due in self._due if due[1] is not _Change.READY]
        self._due.append((now_ns + cost_ns, _Change.READY, 0.0))
        self._due.sort(key=lambda due: due[0])

    def _ready_at_ns(self) -> int | None:
        return next((at_ns for at_ns, change, _ in self._due if change is _Change.READY), None)

    def _advance(self, now_ns: int) -> None:
        while self._due and self._due[0][0] <= now_ns:
            at_ns, change, value = self._due[0]
            self._run_to(at_ns)
            del self._due[0]
            if change is _Change.SPEED:
                self._slope = value
            else:
                self._fresh = self._paused
        self._run_to(now_ns)

    def _run_to(self, now_ns: int) -> None:
        elapsed_ns = max(0, now_ns - self._at_ns)
        self._at_ns = max(self._at_ns, now_ns)
        if self._span_ns is None or self._paused or self._ready_at_ns() is not None:
            return
        media_ns = elapsed_ns if self._slope == 1.0 else round(elapsed_ns * self._slope)
        self._position_ns += media_ns + scale_ppb(media_ns, self._failings.rate_error_ppb)
