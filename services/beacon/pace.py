"""How often a follower probes its master, and by which way. Pure."""

from dataclasses import dataclass
from typing import Final

from unisono.core.units import NS_PER_MS, NS_PER_US

# At joining: until the clock is known this well, or this long.
JOINING_S: Final = 2.5
JOINING_WAIT_S: Final = 0.05
KNOWN_BOUND_NS: Final = 300 * NS_PER_US
KNOWN_SAMPLES: Final = 20
# Later: the worse the bound, the more often; between these two in proportion to 1 / bound.
STEADY_WAIT_S: Final = 2.0
HASTY_WAIT_S: Final = 0.5
HASTY_BOUND_NS: Final = 2 * NS_PER_MS
# While the bound is bad, a probe each time that the time since joining has grown by so much: what
# is known of the skew grows with that span, and the first half minute is what audiences see.
AGEING: Final = 0.01
BAD_BOUND_NS: Final = 600 * NS_PER_US
# A master that never answers (both ports blocked) is asked less often.
UNANSWERED_AFTER: Final = 60
# Followers that were started together must not ask together.
SPREAD: Final = 0.5

# Datagrams without an answer, after which the stream is tried too; and how often they are tried
# beside a stream that answers, lest a passing fault keep the worse stamps in use.
DATAGRAMS_IN_VAIN: Final = 8
DATAGRAM_EVERY: Final = 10


def probe_wait_s(
    *, joined_for_s: float, bound_ns: int | None, answered: int, unanswered: int, dice: float
) -> float:
    """Seconds until the next probe.

    ``joined_for_s`` and ``answered`` count since this master was first heard of, ``unanswered``
    since its last answer; ``dice`` is uniform in [0, 1).
    """
    known = bound_ns is not None and bound_ns <= KNOWN_BOUND_NS and answered >= KNOWN_SAMPLES
    if joined_for_s < JOINING_S and not known:
        return JOINING_WAIT_S
    wait_s = HASTY_WAIT_S
    if unanswered >= UNANSWERED_AFTER:
        wait_s = STEADY_WAIT_S
    elif bound_ns is not None:
        wait_s *= min(STEADY_WAIT_S / HASTY_WAIT_S, max(1.0, HASTY_BOUND_NS / max(1, bound_ns)))
        if bound_ns > BAD_BOUND_NS:
            wait_s = min(wait_s, max(JOINING_WAIT_S, AGEING * joined_for_s))
    return wait_s * (1.0 - SPREAD / 2 + SPREAD * dice)


@dataclass(frozen=True, slots=True)
class Route:
    """By which way to ask: datagrams, unless only the stream is answered.

    ``in_vain`` counts datagrams since the last one that was answered; ``asked`` all probes.
    """

    in_vain: int = 0
    asked: int = 0

    @property
    def by_datagram(self) -> bool:
        """Whether the next probe goes as a datagram."""
        return not self.by_stream or self.asked % DATAGRAM_EVERY == 0

    @property
    def by_stream(self) -> bool:
        """Whether the next probe goes over the stream."""
        return self.in_vain >= DATAGRAMS_IN_VAIN

    def after_asking(self) -> "Route":
        """The next probe has gone."""
        return Route(self.in_vain + self.by_datagram, self.asked + 1)

    def after_datagram_answered(self) -> "Route":
        """A datagram came back: the stream is not needed."""
        return Route(0, self.asked)
