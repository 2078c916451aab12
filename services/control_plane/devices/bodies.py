"""What devices send and get: the JSON of their calls, checked as it is decoded.

These are msgspec's and not pydantic's: devices make nearly all the calls, and decoding, checking
and encoding cost a tenth (`benchmarks/control_plane`). `openapi` makes the schema of them.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from services.control_plane.gate.tokens import NAME

NAME_PATTERN = f"^{NAME.pattern}$"
MAX_NUMBER = 2**53  # what every JSON reader can hold
MAX_TERM = 2**31 - 1
MAX_ITEMS = 200  # of telemetry in one call
MAX_MS = 86_400_000.0  # no film that is in unison is a day off

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Text = Annotated[str, Meta(max_length=256)]
LongText = Annotated[str, Meta(max_length=1024)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Term = Annotated[int, Meta(ge=0, le=MAX_TERM)]
Milliseconds = Annotated[float, Meta(ge=0, le=MAX_MS)]
Drifted = Annotated[float, Meta(ge=-MAX_MS, le=MAX_MS)]
Samples = Annotated[int, Meta(ge=0, le=1_000_000)]  # ten a second for more than a day
Seconds = Annotated[float, Meta(ge=0, le=3600)]
Share = Annotated[float, Meta(ge=0, le=1)]
PathName = Annotated[str, Meta(max_length=32)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request. Unknown fields are refused: a misspelt one must not pass in silence."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class EnrolRequest(Asked, frozen=True):
    """A device joins its site with a one-time token; it may wish for an id."""

    token: Annotated[str, Meta(max_length=128, examples=["lobby.5Ck1tN0v9xw"])]
    device_id: Name | None = None


class EnrolReply(Reply, frozen=True):
    """The device's identity; ``secret`` is shown this once.

    Up to its last dot it goes with every call; what comes after is the key of the commands to
    this device, and is never sent.
    """

    device_id: str
    site: str
    secret: str


class HeartbeatRequest(Asked, frozen=True):
    """Where a device is and what it holds; ``revision`` is that of its newest command.

    ``interval_s`` is how often it sends heartbeats, three of which are its lease at least;
    ``boot_id`` its kernel's id of this boot. ``wired`` and ``clock_healthy`` decide who leads
    first, and are null where the device cannot tell; ``clock_error_ms`` is the kernel's bound on
    the error of its wall clock. ``flags_version`` is that of the site's flags it runs.
    ``beat_lost``: it follows a master on the LAN and does not hear it.
    """

    address: Annotated[str, Meta(max_length=64, examples=["192.168.1.21"])]
    beacon_port: Port
    probe_port: Port
    player: Text = ""
    player_version: Text = ""
    version: Text = ""
    session_id: Text = ""
    term: Term = 0
    revision: Count = 0
    mode: Text = ""
    beat_lost: bool = False
    interval_s: Seconds = 0.0
    boot_id: Text = ""
    wired: bool | None = None
    clock_healthy: bool | None = None
    clock_error_ms: Milliseconds | None = None
    flags_version: Count = 0


class Drift(Asked, frozen=True):
    """Drift over a span of time, ms: ``mean`` signed, the others of |drift|."""

    count: Samples
    mean: Drifted | None = None
    mean_abs: Milliseconds | None = None
    p50: Milliseconds | None = None
    p95: Milliseconds | None = None
    p99: Milliseconds | None = None
    max: Milliseconds | None = None
    within_50ms_ratio: Share | None = None


class Lan(Asked, frozen=True):
    """What the device's beacon process says of the LAN; its counters begin with that process.

    ``active``: its timing comes from the LAN now. ``path``: whose copies come first ("": none,
    or it is the master). ``lost_ratio_by_path`` is of the last minute, of paths in use.
    """

    active: bool
    path: PathName = ""
    beacons_received: Count = 0
    beacons_lost: Count = 0
    bound_ms: Milliseconds | None = None
    rtt_ms: Milliseconds | None = None
    lost_ratio_by_path: Annotated[dict[PathName, Share], Meta(max_length=8)] = {}


class Item(Asked, frozen=True):
    """One summary (``drift_ms`` over the ``span_ms`` that end at ``at_ms``) or one ``event``.

    ``seq`` rises by at least one with each item of a queue; ``at_ms`` is the device's wall clock.
    """

    seq: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
    at_ms: Count
    session_id: Text = ""
    term: Term = 0
    mode: Text = ""
    span_ms: Count = 0
    drift_ms: Drift | None = None
    event: Annotated[str, Meta(max_length=32)] = ""
    detail: LongText = ""


class Telemetry(Asked, frozen=True):
    """Items in the order of their seq; ``queue`` names the device's queue, drawn at random."""

    queue: Annotated[str, Meta(min_length=1, max_length=64)]
    items: Annotated[list[Item], Meta(max_length=MAX_ITEMS)]


class StatusRequest(Asked, frozen=True):
    """How a device plays; ``lan`` is null when nothing is known of it.

    ``telemetry`` may come along, which saves a call.
    """

    session_id: Text = ""
    term: Term = 0
    role: Text = ""
    mode: Text = ""
    beat_lost: bool = False
    player_state: Text = ""
    drift_ms: Drift = Drift(count=0)
    speed: Drifted = 1.0
    seeks: Count = 0
    fault: LongText = ""
    lan: Lan | None = None
    telemetry: Telemetry | None = None


class Hint(Reply, frozen=True):
    """The session that a device should be in ("": none); ``revision`` orders what is asked.

    ``next_poll_s`` is when to call next (null: at the device's own interval). ``flags`` are there
    when the device is in no session and runs another version of them. ``rotate``: the device is
    to fetch a new secret. ``delivered_seq`` answers the telemetry that came along.
    """

    server_time_ms: int
    session_id: str = ""
    state: str = ""
    term: int = 0
    revision: int = 0
    next_poll_s: float | None = None
    flags_version: int = 0
    flags: dict[str, str] | None = None
    rotate: bool = False
    delivered_seq: int | None = None


class CommandBody(Reply, frozen=True):
    """One command; ``session`` is all that a device needs to play, in a ``SYNC_PREPARE``.

    ``signature`` is HMAC-SHA-256 over all the rest, with a key of that device alone.
    """

    command_id: str
    device_id: str
    kind: str
    seq: int
    issued_ms: int
    expires_ms: int
    session_id: str
    term: int
    session: dict[str, Any] | None
    signature: str


class CommandsReply(Reply, frozen=True):
    """The commands that are due, in order."""

    server_time_ms: int
    commands: list[CommandBody]
    next_poll_s: float | None = None


class AckRequest(Asked, frozen=True):
    """How a command ended."""

    outcome: Literal["done", "failed"]
    detail: LongText = ""


class AckReply(Reply, frozen=True):
    """The outcome that is kept."""

    command_id: str
    outcome: str


class RotateRequest(Asked, frozen=True):
    """Nothing: the device asks for another secret."""


class RotateReply(Reply, frozen=True):
    """The new secret, shown this once; the old one is good until the new one is used."""

    secret: str


class TelemetryReply(Reply, frozen=True):
    """All items of the queue up to ``delivered_seq`` have been taken over: forget them."""

    queue: str
    delivered_seq: int


# For the documentation: one example of each request and reply.
EXAMPLES: dict[type[msgspec.Struct], dict[str, Any]] = {
    EnrolRequest: {"token": "lobby.urE8yw5Ck1tN0v9xw", "device_id": "screen-1"},
    EnrolReply: {"device_id": "screen-1", "site": "lobby", "secret": "lobby.w9bJfqd1f7S0.5e12…"},
    HeartbeatRequest: {
        "address": "192.168.1.21", "beacon_port": 7600, "probe_port": 7601, "player": "playing",
        "player_version": "mpv 0.40.0", "version": "0.1.0", "session_id": "lobby-3f9a2c1d05",
        "term": 1, "revision": 1780000000000, "mode": "lan", "beat_lost": False, "interval_s": 5.0,
        "boot_id": "6f0c1d6e-6c1b-4c62-9b62-1f6b1d0a7c11", "wired": True, "clock_healthy": True,
        "clock_error_ms": 1.5, "flags_version": 3,
    },
    Hint: {
        "server_time_ms": 1780000001234, "session_id": "lobby-3f9a2c1d05", "state": "playing",
        "term": 1, "revision": 1780000000000, "next_poll_s": None, "flags_version": 3,
        "flags": None, "rotate": False, "delivered_seq": None,
    },
    StatusRequest: {
        "session_id": "lobby-3f9a2c1d05", "term": 1, "role": "follower", "mode": "lan",
        "beat_lost": False, "player_state": "playing", "speed": 1.0, "seeks": 0, "fault": "",
        "drift_ms": {
            "count": 10, "mean": -0.02, "mean_abs": 0.05, "p50": 0.04, "p95": 0.2, "p99": 0.3,
            "max": 0.4, "within_50ms_ratio": 1.0,
        },
        "lan": {
            "active": True, "path": "udp", "beacons_received": 12000, "beacons_lost": 3,
            "bound_ms": 0.2, "rtt_ms": 0.4, "lost_ratio_by_path": {"udp": 0.01},
        },
        "telemetry": None,
    },
    Telemetry: {
        "queue": "9f2c41d7a0b3",
        "items": [
            {
                "seq": 41, "at_ms": 1780000060000, "session_id": "lobby-3f9a2c1d05", "term": 1,
                "mode": "lan", "span_ms": 60000,
                "drift_ms": {"count": 300, "mean": -0.01, "mean_abs": 0.05, "max": 0.4,
                             "within_50ms_ratio": 1.0},
            },
            {"seq": 42, "at_ms": 1780000061000, "event": "fallback", "detail": "beacons_silent"},
        ],
    },
    TelemetryReply: {"queue": "9f2c41d7a0b3", "delivered_seq": 42},
    AckRequest: {"outcome": "done"},
    AckReply: {"command_id": "lobby-3f9a2c1d05.1780000000000.prepare", "outcome": "done"},
    RotateRequest: {},
    RotateReply: {"secret": "lobby.p3Q0mFq3wd1f7S"},
    CommandsReply: {
        "server_time_ms": 1780000001234, "next_poll_s": None,
        "commands": [{
            "command_id": "lobby-3f9a2c1d05.1780000000000.prepare", "device_id": "screen-1",
            "kind": "SYNC_PREPARE", "seq": 1780000000000, "issued_ms": 1780000000000,
            "expires_ms": 1780003600000, "session_id": "lobby-3f9a2c1d05", "term": 1,
            "session": {
                "session_id": "lobby-3f9a2c1d05", "term": 1, "master_device_id": "screen-1",
                "members": [{"device_id": "screen-1", "address": "192.168.1.21",
                             "beacon_port": 7600, "probe_port": 7601}],
                "playlist": {"items": [{"uri": "film.mp4", "duration_ns": 60_000_000_000,
                                        "fingerprint": ""}]},
                "start_at_ms": 1780000005000, "secret_hex": "5e12…",
                "flags": {"SYNC_LAN_ENABLED": "1"}, "flags_version": 3,
                "successors": ["screen-2"],
            },
            "signature": "b1946ac92492d2347c6235b4d2611184…",
        }],
    },
}  # fmt: skip
