"""What a LAN in memory does to what it carries: seeded delay and loss."""

import random
from collections.abc import Callable, Sequence

from unisono.core.units import s_to_ns

# delays(now_ns, size_bytes, multicast): when it arrives, by the clock that told ``now_ns``;
# none: it is lost, several: it is doubled on its way.
Delays = Callable[[int, int, bool], Sequence[int]]


def simple_delays(seed: int, delay_s: float, jitter_s: float, loss: float) -> Delays:
    """``delay_s`` plus an exponential ``jitter_s`` for each, or it is lost."""
    dice = random.Random(seed)  # noqa: S311 - a repeatable network, no secret

    def delays(now_ns: int, _size_bytes: int, _multicast: bool) -> Sequence[int]:
        if dice.random() < loss:
            return ()
        late_s = dice.expovariate(1 / jitter_s) if jitter_s else 0.0
        return (now_ns + s_to_ns(delay_s + late_s),)

    return delays
