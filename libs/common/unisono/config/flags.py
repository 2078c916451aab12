"""The ``SYNC_*`` flags: what a site may switch, with default, unit and meaning.

Unset, a device behaves as it always did: cloud only. Flags come from the process environment
and are overlaid by those that the control plane sends with a session.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from unisono.config.table import Value, load, row

PREFIX = "SYNC_"


@dataclass(frozen=True, slots=True)
class Flags:
    """One value per flag; the field ``lan_enabled`` is the flag ``SYNC_LAN_ENABLED``."""

    lan_enabled: bool = row(False, "Take timing from the LAN; off: cloud mode only")
    lan_beacon_hz: float = row(
        20.0, "Beacons the master sends per second", unit="Hz", low=1, high=50
    )
    lan_timeout_ms: int = row(
        1500, "Silence after which a follower leaves lan mode", unit="ms", low=200, high=60_000
    )
    lan_fallback_to_cloud: bool = row(
        True, "After holdover, take timing from the cloud; off: stay in holdover"
    )
    lan_transport: str = row(
        "auto",
        "Paths of the beacons: auto (udp,tcp), or a list like udp,pgm; those two are "
        "multicast, and udp also unicast to those whom multicast does not reach",
        choices=("auto", "udp", "tcp", "pgm"),
        several=("udp", "tcp", "pgm"),
    )
    lan_settle_ms: int = row(
        1000, "How long beacons must be stable before lan mode", unit="ms", low=0, high=60_000
    )
    lan_max_bound_ms: float = row(
        20.0, "Clock bound above which the LAN is not trusted", unit="ms", low=0.1, high=1000
    )
    dead_band_us: int = row(
        50, "|drift| left alone, so that noise is not steered after", unit="us", low=0, high=50_000
    )
    max_speed_pct: float = row(
        3.0, "Largest speed correction, up or down", unit="%", low=0.05, high=10
    )
    hard_reset_ms: int = row(
        500, "|drift| beyond which a seek replaces a speed change", unit="ms", low=50, high=60_000
    )
    heartbeat_s: float = row(5.0, "Interval of device heartbeat", unit="s", low=0.2, high=3600)
    status_s: float = row(2.0, "Interval of sync status runtime", unit="s", low=0.2, high=3600)
    commands_s: float = row(2.0, "Interval of device commands poll", unit="s", low=0.2, high=3600)


def load_flags(values: Mapping[str, Value] | None = None, *, base: Flags | None = None) -> Flags:
    """Flags from ``values`` (default: environment) laid over ``base``; may raise `ConfigError`."""
    return load(Flags, PREFIX, os.environ if values is None else values, base=base)
