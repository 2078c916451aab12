"""How often a follower probes its master. Pure."""

from typing import Final

from unisono.core.units import NS_PER_US

# At joining: until the clock is known this well, or this long.
JOINING_S: Final = 2.5
JOINING_WAIT_S: Final = 0.05
KNOWN_BOUND_NS: Final = 300 * NS_PER_US
KNOWN_SAMPLES: Final = 20
# Later: twice a second keeps the backward direction of the path fresh.
STEADY_WAIT_S: Final = 0.5
# A master that never answers (a blocked port) is asked less often.
UNANSWERED_WAIT_S: Final = 2.0
UNANSWERED_AFTER: Final = 60
# Followers that were started together must not ask together.
SPREAD: Final = 0.5


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
    wait_s = UNANSWERED_WAIT_S if unanswered >= UNANSWERED_AFTER else STEADY_WAIT_S
    return wait_s * (1.0 - SPREAD / 2 + SPREAD * dice)
