"""One table of metrics: name, kind, unit, labels, owner, meaning.

The exporter creates its series from these rows and the documentation is printed from them; a
metric that is not here does not exist. Names follow Prometheus: prefix ``unisono_``, base units
(seconds), ``_total`` for counters, ``_ratio`` for shares of one.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

from unisono.core.cadence import Call
from unisono.core.commands import AckOutcome, CommandKind
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Role
from unisono.wire.refusal import Reason


class Owner(StrEnum):
    """The process whose work a metric tells of; the same names as on the device's bus."""

    CLOUD_BRIDGE = "cloud_bridge"
    BEACON = "beacon"
    CORRECTOR = "corrector"
    EXPORTER = "exporter"


class Kind(StrEnum):
    """How a series behaves, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row.

    ``known`` lists the label values that are known beforehand: those series exist, at zero, from
    the start. A gauge without a reading has no series at all, so that an average over a site
    never counts what was not measured. ``buckets`` are the upper bounds of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    owner: Owner
    meaning: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


def _pairs(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((one, other) for one in first for other in second)


# 0.05 s is what the product promises and must be a bound of its own: the share of time within
# 50 ms is then read exactly. Below it the bounds show what the control loop can do.
DRIFT_BUCKETS_S = (
    *(0.00002, 0.00005, 0.0001, 0.0002, 0.0005),
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
PATHS = ("pgm", "udp", "udp-unicast", "tcp")
REFUSALS = tuple(Reason)
ROUTES = (*Call, "ack", "rotate")
REQUEST_OUTCOMES = ("200", "away", "timeout")
TOPICS = ("desired", "cloud", "timing", "link", "drift")
COMMANDS = tuple(CommandKind)
COMMAND_OUTCOMES = tuple(AckOutcome)
# Of those that are not even read as a command of a kind.
STRANGE_COMMANDS = (("?", "failed"), ("?", "forged"))

# Constant labels: which device a series belongs to, and on which site it stands.
TARGET_LABELS = ("device_id", "site")

_CORRECTOR, _BEACON = Owner.CORRECTOR, Owner.BEACON
_CLOUD, _EXPORTER = Owner.CLOUD_BRIDGE, Owner.EXPORTER
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

DRIFT_ABS = Metric(
    *("unisono_drift_abs_seconds", _H, "seconds", _CORRECTOR),
    "|drift| of each step of the corrector while the player plays",
    buckets=DRIFT_BUCKETS_S,
)
DRIFT = Metric(
    *("unisono_drift_seconds", _G, "seconds", _CORRECTOR),
    "newest drift: player minus timeline, > 0 is ahead",
)
MODE = Metric(
    *("unisono_mode", _G, "", _CORRECTOR),
    "1 for the mode that the device's timing comes from now, else 0",
    *(("mode",), _each(*Mode)),
)
MODE_SECONDS = Metric(
    *("unisono_mode_seconds_total", _C, "seconds", _CORRECTOR),
    "time spent in each mode",
    *(("mode",), _each(*Mode)),
)
TRANSITIONS = Metric(
    *("unisono_mode_transitions_total", _C, "", _CORRECTOR),
    "changes of mode; to=cloud from lan or holdover is a fallback",
    *(("from", "to"), tuple((str(a), str(b)) for a, b in permutations(Mode, 2))),
)
ROLE = Metric(
    *("unisono_role", _G, "", _CORRECTOR),
    "1 for the role of the device in this term, else 0",
    *(("role",), _each(*Role)),
)
TERM = Metric(
    *("unisono_session_term", _G, "", _CORRECTOR),
    "term of the session that the device plays; it grows at each change of master",
)
SEEKS = Metric("unisono_seeks_total", _C, "", _CORRECTOR, "seeks that the corrector asked for")
SPEED = Metric(
    *("unisono_speed_ratio", _G, "ratio", _CORRECTOR), "playback speed now, 1 is the film's own"
)
SPEED_CHANGES = Metric(
    *("unisono_speed_changes_total", _C, "", _CORRECTOR), "speed commands sent to the player"
)
PLAYER_STATE = Metric(
    *("unisono_player_state", _G, "", _CORRECTOR),
    "1 for what the player is doing now, else 0",
    *(("state",), _each(*PlayerState)),
)
PLAYER_FAULT = Metric(
    *("unisono_player_fault", _G, "", _CORRECTOR),
    "1 while the player or its media cannot be used; the corrector's log says why",
)
START_ERROR = Metric(
    *("unisono_start_error_seconds", _G, "seconds", _CORRECTOR),
    "start of the newest session: real minus asked, > 0 is late",
)
SENT = Metric(
    *("unisono_beacons_sent_total", _C, "", _BEACON),
    "beacons that at least one path took, as master; whether anyone heard them, followers tell",
)
UNSENT = Metric(
    *("unisono_beacon_sends_refused_total", _C, "", _BEACON),
    "sends, as master, that a path did not take (one beacon on one path); others may have",
)
BEACON_LATE = Metric(
    *("unisono_beacon_late_seconds", _G, "seconds", _BEACON),
    "how late beacons were sent, as master: 99th percentile of the last ten seconds",
)
RECEIVED = Metric(
    *("unisono_beacons_received_total", _C, "", _BEACON), "beacons taken: first copy of each seq"
)
LOST = Metric(
    *("unisono_beacons_lost_total", _C, "", _BEACON),
    "beacons of this term that came by no path at all",
)
REFUSED = Metric(
    *("unisono_beacons_refused_total", _C, "", _BEACON),
    "datagrams and messages dropped, by reason",
    *(("reason",), _each(*REFUSALS)),
)
RECEIVED_BY_PATH = Metric(
    *("unisono_beacons_received_by_path_total", _C, "", _BEACON),
    "beacons taken, by the path whose copy came first",
    *(("path",), _each(*PATHS)),
)
COPIES = Metric(
    *("unisono_beacon_copies_total", _C, "", _BEACON),
    "verified copies of beacons, by path; one beacon may come by several",
    *(("path",), _each(*PATHS)),
)
LOST_BY_PATH = Metric(
    *("unisono_beacons_lost_by_path_total", _C, "", _BEACON),
    "beacons missing on a path while it was in use, whether or not another brought them",
    *(("path",), _each(*PATHS)),
)
PATH_RESTARTS = Metric(
    *("unisono_beacon_path_restarts_total", _C, "", _BEACON),
    "how often a path set itself up again, after silence or a fault; a changed interface is none",
    *(("path",), _each(*PATHS)),
)
BEACON_PATH = Metric(
    *("unisono_beacon_path", _G, "", _BEACON),
    "1 for the path whose copies came first lately, else 0; all 0 on the master and in silence",
    *(("path",), _each(*PATHS)),
)
BEACON_AGE = Metric(
    *("unisono_beacon_age_seconds", _G, "seconds", _BEACON),
    "time since the newest beacon taken (on the master: sent)",
)
CLOCK_OFFSET = Metric(
    *("unisono_clock_offset_seconds", _G, "seconds", _BEACON),
    "master's monotonic clock minus this device's; any size is normal, a step is not",
)
CLOCK_SKEW = Metric(
    *("unisono_clock_skew_ratio", _G, "ratio", _BEACON),
    "how much faster the master's clock runs, as a share of one (1e-6 is 1 ppm)",
)
CLOCK_BOUND = Metric(
    *("unisono_clock_bound_seconds", _G, "seconds", _BEACON), "error bound of the clock offset"
)
RTT = Metric(
    *("unisono_probe_rtt_seconds", _G, "seconds", _BEACON),
    "lowest round trip to the master in the estimator's window",
)
PROBES_SENT = Metric("unisono_probes_sent_total", _C, "", _BEACON, "clock probes sent")
PROBES_ANSWERED = Metric(
    *("unisono_probes_answered_total", _C, "", _BEACON), "answers to own clock probes"
)
CLOUD_CONNECTED = Metric(
    *("unisono_cloud_connected", _G, "", _CLOUD), "1 while the control plane answers, else 0"
)
CLOUD_AGE = Metric(
    *("unisono_cloud_contact_age_seconds", _G, "seconds", _CLOUD),
    "time since the control plane last answered",
)
CLOUD_REQUESTS = Metric(
    *("unisono_cloud_requests_total", _C, "", _CLOUD),
    "requests to the control plane; outcome is the HTTP status, away, timeout or nonsense",
    *(("route", "outcome"), _pairs(ROUTES, REQUEST_OUTCOMES)),
)
CLOUD_COMMANDS = Metric(
    *("unisono_commands_total", _C, "", _CLOUD),
    "commands of the control plane, by what became of them; forged: not signed for this device",
    *(("kind", "outcome"), (*_pairs(COMMANDS, COMMAND_OUTCOMES), *STRANGE_COMMANDS)),
)
BUS_AGE = Metric(
    *("unisono_bus_message_age_seconds", _G, "seconds", _EXPORTER),
    "time since a topic last spoke on the device's bus (before that: since the exporter's start)",
    *(("topic",), _each(*TOPICS)),
)
BUS_MESSAGES = Metric(
    *("unisono_bus_messages_total", _C, "", _EXPORTER),
    "messages heard on the device's bus",
    *(("topic",), _each(*TOPICS)),
)
BUS_UNDECODABLE = Metric(
    *("unisono_bus_undecodable_total", _C, "", _EXPORTER),
    "messages dropped: not this version's encoding, or of no topic (topic is then ?)",
    *(("topic",), _each(*TOPICS, "?")),
)
BUILD = Metric(
    *("unisono_build_info", _G, "", _EXPORTER),
    "always 1; its labels say what runs",
    ("version", "python"),
)

METRICS: tuple[Metric, ...] = (
    *(DRIFT_ABS, DRIFT, MODE, MODE_SECONDS, TRANSITIONS, ROLE, TERM, SEEKS, SPEED, SPEED_CHANGES),
    *(PLAYER_STATE, PLAYER_FAULT, START_ERROR),
    *(SENT, UNSENT, BEACON_LATE, RECEIVED, LOST, REFUSED, RECEIVED_BY_PATH),
    *(COPIES, LOST_BY_PATH, PATH_RESTARTS, BEACON_PATH, BEACON_AGE),
    *(CLOCK_OFFSET, CLOCK_SKEW, CLOCK_BOUND, RTT, PROBES_SENT, PROBES_ANSWERED),
    *(CLOUD_CONNECTED, CLOUD_AGE, CLOUD_REQUESTS, CLOUD_COMMANDS),
    *(BUS_AGE, BUS_MESSAGES, BUS_UNDECODABLE, BUILD),
)
