"""Kept clock: the last clock map, for the next process on the same device.

A process that begins again knows nothing of the master's clock and would need seconds of probes;
but both clocks went on meanwhile, and a map says itself how fast it becomes worse.
"""

from dataclasses import dataclass

from unisono.core.clockmap import ClockMap
from unisono.core.edgeline import LEAST_SKEW_BOUND_PPB, PRIOR_SKEW_PPB, STAMP_NOISE_NS
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs

# As long as the estimator itself trusts an old limit. Restarts and upgrades take seconds; after ten
# minutes temperature may have moved the rates by more than was learnt of them.
MAX_AGE_NS = 600 * NS_PER_S
# A map worse than this is no better than the first few probes.
MAX_BOUND_NS = 20 * NS_PER_MS
# Monotonic clocks count from a boot: no two are further apart than some decades.
MAX_OFFSET_NS = 10**18


@dataclass(frozen=True, slots=True)
class KeptClock:
    """A clock map, and the two clocks that it is between.

    Clocks are named by boot and time namespace, in hex: a map means nothing for any other clock.
    Session and term say whose word it was; the map does not depend on them.
    """

    session_id: str
    term: int
    master_device_id: str
    master_clock_id_hex: str
    own_clock_id_hex: str
    clock_map: ClockMap


def still_holds(
    kept: KeptClock,
    *,
    own_clock_id_hex: str,
    master_device_id: str,
    master_clock_id_hex: str,
    now_ns: OwnNs,
) -> bool:
    """Whether the map may still be used at ``now_ns`` for that master's clock.

    ``kept`` comes from a store, so anything may be in it: a map from the future, or one surer than
    any estimate can be, is none of ours. It may still be false, if a clock was stepped or slewed
    meanwhile: `ClockEstimator.restore` lets the first messages say so.
    """
    clock_map = kept.clock_map
    same = (
        kept.own_clock_id_hex == own_clock_id_hex
        and kept.master_device_id == master_device_id
        and kept.master_clock_id_hex == master_clock_id_hex
        # An id that is not known names no clock.
        and bool(own_clock_id_hex and master_clock_id_hex)
    )
    sane = (
        0 <= now_ns - clock_map.at_own_ns <= MAX_AGE_NS
        and abs(clock_map.offset_ns) <= MAX_OFFSET_NS
        and abs(clock_map.skew_ppb) <= PRIOR_SKEW_PPB
        and clock_map.skew_bound_ppb >= LEAST_SKEW_BOUND_PPB
        and clock_map.bound_ns >= STAMP_NOISE_NS
    )
    return same and sane and clock_map.bound_at_ns(now_ns) <= MAX_BOUND_NS
