"""What the processes of one device tell each other: one table of topics.

Every topic has one owner, the process that publishes it on its own socket; the others connect
to the owner's socket. State topics are published on change and repeated every ``repeat_s``, so
that a process that starts late, or after a crash, soon knows all.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from unisono.core.clockmap import ClockMap
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Role
from unisono.core.timeline import Timeline
from unisono.core.units import OwnNs


class Owner(StrEnum):
    """The four processes of a device."""

    CLOUD_BRIDGE = "cloud_bridge"
    BEACON = "beacon"
    CORRECTOR = "corrector"
    EXPORTER = "exporter"


@dataclass(frozen=True, slots=True)
class Timing:
    """What the LAN says of time now; the corrector turns it into the phase due.

    ``timeline`` lives on the master's clock; ``clock_map`` leads there (None: not synchronised).
    ``beacon_own_ns`` is when the newest accepted beacon came (on the master: was sent), None
    before the first of this term. ``stable_since_own_ns`` is since when beacons have come
    without a gap, None while they do not.
    """

    session_id: str
    term: int
    role: Role
    clock_map: ClockMap | None
    timeline: Timeline | None
    beacon_own_ns: OwnNs | None
    stable_since_own_ns: OwnNs | None
    path: str


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Counters of the beacon process since it started; they only grow (gauges say so)."""

    session_id: str
    term: int
    role: Role
    sent: int = 0
    unsent: int = 0  # sends that a path did not take
    received: int = 0
    lost: int = 0  # by all paths together
    refused: dict[str, int] = field(default_factory=dict)  # by reason
    path: str = ""  # gauge: whose copy came first lately; "" while no beacon comes
    received_by_path: dict[str, int] = field(default_factory=dict)  # first copies
    copies_by_path: dict[str, int] = field(default_factory=dict)  # every verified copy
    lost_by_path: dict[str, int] = field(default_factory=dict)  # missing on a path that was open
    restarts_by_path: dict[str, int] = field(default_factory=dict)  # set up again by itself
    probes_sent: int = 0
    probes_answered: int = 0
    beat_late_ns: int | None = None  # gauge: p99 behind the grid, of the last ten seconds
    rtt_ns: int | None = None  # gauge: lowest of the window
    offset_ns: int | None = None  # gauge
    skew_ppb: int | None = None  # gauge
    bound_ns: int | None = None  # gauge


@dataclass(frozen=True, slots=True)
class DriftSample:
    """One step of the corrector. ``drift_ns`` is player minus timeline, > 0 is ahead."""

    session_id: str
    term: int
    role: Role
    at_own_ns: OwnNs
    mode: Mode
    player_state: PlayerState
    drift_ns: int | None  # None: not playing, or nothing to compare with
    phase_ns: int | None
    bound_ns: int | None
    speed: float
    seeks: int = 0
    speed_changes: int = 0
    transitions: dict[str, int] = field(default_factory=dict)  # "lan>holdover" -> count
    mode_seconds: dict[str, float] = field(default_factory=dict)
    start_error_ns: int | None = None  # real minus asked start, once known
    fault: str = ""  # a sentence when the player or its media cannot be used
    player_version: str = ""  # "": not connected


@dataclass(frozen=True, slots=True)
class CloudStats:
    """Counters of the cloud-bridge since it started."""

    connected: bool
    last_contact_own_ns: OwnNs | None
    requests: dict[str, int] = field(default_factory=dict)  # "heartbeat 200" -> count
    commands: dict[str, int] = field(default_factory=dict)  # "SYNC_PREPARE done" -> count


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table."""

    name: str
    owner: Owner
    message: type[Any]
    rate: str
    repeat_s: float
    meaning: str


DESIRED = Topic(
    "desired", Owner.CLOUD_BRIDGE, Desired, "on change", 1.0, "the session asked by the cloud"
)
CLOUD = Topic("cloud", Owner.CLOUD_BRIDGE, CloudStats, "1 Hz", 1.0, "calls to the cloud")
TIMING = Topic("timing", Owner.BEACON, Timing, "5 Hz and on change", 0.2, "time on the LAN")
LINK = Topic("link", Owner.BEACON, LinkStats, "1 Hz", 1.0, "beacons and probes, counted")
DRIFT = Topic("drift", Owner.CORRECTOR, DriftSample, "each step", 0.2, "the player's drift")

TOPICS: tuple[Topic, ...] = (DESIRED, CLOUD, TIMING, LINK, DRIFT)
