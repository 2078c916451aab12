"""What the control plane keeps besides the sessions: frozen, stored as JSON."""

from dataclasses import dataclass, field
from enum import StrEnum


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
    """An enrolled device. Its secrets themselves are kept nowhere, only their SHA-256.

    ``next_sha256`` is that of the secret which takes the place of the present one as soon as the
    device uses it ("": none was given out); ``rotate`` asks the device to fetch one.
    ``command_key`` (hexadecimal) signs the commands to it: it is kept as it is, for that.
    """

    device_id: str
    secret_sha256: str
    enrolled_ms: int
    command_key: str = ""
    next_sha256: str = ""
    rotate: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatReport:
    """What a device said in its last heartbeat, and when (server time).

    ``interval_s`` is how often it sends heartbeats, ``boot_id`` its kernel's id of this boot.
    ``wired``, ``clock_healthy`` and ``clock_error_ms`` (the kernel's bound on the wall clock's
    error) are None where the device cannot tell. ``flags_version`` is that of the flags it runs.
    """

    at_ms: int
    address: str
    beacon_port: int
    probe_port: int
    player: str = ""
    player_version: str = ""
    version: str = ""
    session_id: str = ""
    term: int = 0
    revision: int = 0
    mode: str = ""
    beat_lost: bool = False
    interval_s: float = 0.0
    boot_id: str = ""
    wired: bool | None = None
    clock_healthy: bool | None = None
    clock_error_ms: float | None = None
    flags_version: int = 0


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
    beat_lost: bool = False
    speed: float = 1.0
    seeks: int = 0
    fault: str = ""
    lan: LanFigures | None = None


@dataclass(frozen=True, slots=True)
class DriftPoint:
    """One point of a device's drift chart, ms: mean (signed) and largest |drift| of a status."""

    mean: float
    max: float
    mode: str
    term: int


@dataclass(frozen=True, slots=True)
class TelemetryItem:
    """A summary or an event of a device, as delivered; ``seq`` is its place in the queue.

    A summary has ``drift_ms`` over the ``span_ms`` that end at ``at_ms`` (the device's wall
    clock); an event has its ``event`` and ``detail``.
    """

    queue: str
    seq: int
    at_ms: int
    session_id: str = ""
    term: int = 0
    mode: str = ""
    span_ms: int = 0
    drift_ms: DriftFigures | None = None
    event: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The highest seq taken over of each of the last queues of a device, the newest last."""

    seqs: dict[str, int]


@dataclass(frozen=True, slots=True)
class Ack:
    """How a command ended, as its device said."""

    command_id: str
    outcome: str
    detail: str
    at_ms: int


class AccountRole(StrEnum):
    """What an account may do; `docs/control-plane.md` has the table."""

    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in. ``sites`` limits an operator to some sites (empty: all).

    ``password`` is scrypt's, with its salt and costs: see `services.control_plane.gate.passwords`.
    """

    name: str
    role: AccountRole
    password: str
    sites: tuple[str, ...] = ()
    disabled: bool = False
    created_ms: int = 0
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """One login; ``csrf`` must come with every request that changes something."""

    name: str
    csrf: str
    at_ms: int
    password_sha256: str
