"""What the control plane keeps of each device, besides the sessions: frozen, stored as JSON."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EnrolToken:
    """A one-time token of a site, good until ``expires_ms``.

    One that never expires is kept when spent, with the device that spent it: it stands in the
    settings, and would be taken for a new one at the next start.
    """

    expires_ms: int | None
    spent_by: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """An enrolled device. The secret itself is kept nowhere."""

    device_id: str
    secret_sha256: str
    enrolled_ms: int


@dataclass(frozen=True, slots=True)
class HeartbeatReport:
    """What a device said in its last heartbeat, and when (server time).

    ``interval_s`` is how often it sends heartbeats, ``boot_id`` its kernel's id of this boot.
    """

    at_ms: int
    address: str
    beacon_port: int
    probe_port: int
    player: str = ""
    version: str = ""
    session_id: str = ""
    term: int = 0
    revision: int = 0
    mode: str = ""
    interval_s: float = 0.0
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """Drift over one span of time, ms: ``mean`` is signed, the others are of |drift|."""

    count: int
    mean: float | None = None
    mean_abs: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    within_50ms_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class LanFigures:
    """How the LAN does: counters of the device's beacon process, loss of the last minute."""

    active: bool
    path: str = ""
    beacons_received: int = 0
    beacons_lost: int = 0
    bound_ms: float | None = None
    rtt_ms: float | None = None
    lost_ratio_by_path: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    """What a device said in its last sync status, and when (server time)."""

    at_ms: int
    session_id: str
    term: int
    role: str
    mode: str
    player_state: str
    drift_ms: DriftFigures
    speed: float = 1.0
    seeks: int = 0
    fault: str = ""
    lan: LanFigures | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """How a command ended, as its device said."""

    command_id: str
    outcome: str
    detail: str
    at_ms: int
