"""The table of keys: name, TTL, single writer, meaning. Every key is a hash or a log.

Device keys live in the device's own Redis; cloud keys in the control plane's, where ``{site}``
is the hash tag, so that all keys of one site share a slot. What has no TTL must not be lost.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

PREFIX = "unisono"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Key:
    """One row. ``fields`` says what a field's name is; its value's type is ``value``.

    A row with ``keep`` is a log of at most so many entries; in a ``timed`` one each entry holds
    its time, so that equal ones at two times are two.
    """

    name: str
    fields: str
    value: str
    ttl_ms: int | None
    writer: str
    meaning: str
    keep: int = 0
    timed: bool = False


DESIRED = Key("desired", '"desired"', "Desired", None, "cloud_bridge", "what the cloud last asked")
SEQ = Key(
    "seq",
    "SESSION/TERM",
    "whole number",
    7 * DAY_MS,
    "beacon",
    "above every seq sent in that term while this could be written; the last term only",
)
TIMELINE = Key(
    "timeline",
    "SESSION",
    "TimelineOrigin",
    7 * DAY_MS,
    "beacon",
    "phase 0 of a session on this device's own clock, in that boot; the last session only",
)
CLOCK = Key(
    "clock",
    '"clock"',
    "KeptClock",
    HOUR_MS,
    "beacon",
    "what this device last knew of its master's clock, for the next start of the process",
)
OUTCOMES = Key(
    "outcomes",
    "command id",
    "Outcome",
    7 * DAY_MS,
    "cloud_bridge",
    "commands already carried out, so that a repeated one is not",
)
IDENTITY = Key(
    "identity",
    '"identity"',
    "KeptSecret",
    None,
    "cloud_bridge",
    "the device's secret since it was changed, in the place of the one in the settings",
)
DEVICE_KEYS: tuple[Key, ...] = (DESIRED, SEQ, TIMELINE, CLOCK, OUTCOMES, IDENTITY)

SITES = Key("sites", "site", '""', None, "control plane", "every site that exists")
SITE = Key(
    "{site}:site",
    "v, d",
    "version; SiteDocument",
    None,
    "control plane, guarded by v",
    "sessions and flags of a site: the one document that decisions change",
)
ENDED = Key(
    "{site}:ended:SESSION",
    "v, d",
    "version; SessionRecord",
    30 * DAY_MS,
    "control plane",
    "a session that has ended",
)
HISTORY = Key(
    "{site}:history",
    "log, at its start",
    "session id",
    30 * DAY_MS,
    "control plane",
    "the sessions that there were, for `ENDED`",
    keep=500,
)
ENROL_TOKENS = Key(
    "{site}:tokens",
    "sha-256 of the token",
    "EnrolToken",
    None,
    "control plane",
    "tokens that are good, and spent ones of the settings",
)
DEVICES = Key(
    "{site}:devices", "device id", "DeviceRecord", None, "control plane", "the devices enrolled"
)
REPORTS = Key(
    "{site}:reports",
    "device id",
    "HeartbeatReport",
    30 * DAY_MS,
    "that device's heartbeats",
    "what each device last said of itself",
)
STATUSES = Key(
    "{site}:statuses",
    "device id",
    "RuntimeReport",
    DAY_MS,
    "that device's sync status",
    "how each device last said that it plays",
)
SEEN = Key(
    "{site}:seen", "device id", "server time, ms", DAY_MS, "that device's calls", "who is alive"
)
LEADS = Key(
    "{site}:leads",
    "session id",
    "server time, ms",
    None,
    "commits; the master's calls",
    "until when nobody has to look whether the session is still led: only then are the "
    "other devices read",
)
QUEUE = Key(
    "{site}:queue:DEVICE",
    "command id",
    "Command, a PREPARE without its session",
    DAY_MS,
    "control plane",
    "commands that the device has not acknowledged",
)
ACKS = Key(
    "{site}:acks",
    "device id",
    "Ack",
    DAY_MS,
    "that device's acks",
    "how the command ended that each device acknowledged last",
)
PROGRESS = Key(
    "{site}:progress",
    "SESSION REVISION done|failed, SESSION done",
    "whole number",
    DAY_MS,
    "acks",
    "how many members have answered each revision of a session",
)
EVENT_LOG = Key(
    "{site}:log",
    "log",
    "SiteEvent",
    90 * DAY_MS,
    "control plane",
    "what was done and decided at a site",
    keep=5000,
)
DEVICE_LOG = Key(
    "{site}:device_log",
    "log",
    "SiteEvent",
    90 * DAY_MS,
    "devices' calls",
    "what the devices of a site told or brought about, apart: it pushes nothing else out",
    keep=5000,
)
FLAG_LOG = Key(
    "{site}:flag_log",
    "log",
    "SiteEvent",
    730 * DAY_MS,
    "control plane",
    "the changes of its flags",
    keep=1000,
)
DRIFT_LOG = Key(
    "{site}:drift:DEVICE",
    "log",
    "time and DriftPoint",
    DAY_MS,
    "that device's sync status",
    "its drift of late, for the chart",
    keep=450,
    timed=True,
)
TELEMETRY_LOG = Key(
    "{site}:telemetry:DEVICE",
    "log",
    "TelemetryItem",
    9 * DAY_MS,
    "that device's telemetry",
    "summaries and events, as delivered: a week of one a minute",
    keep=10_080,
)
DELIVERED = Key(
    "{site}:delivered",
    "device id",
    "Delivered",
    90 * DAY_MS,
    "that device's telemetry",
    "up to where the device's queue has been taken over",
)
DAY = Key(
    "{site}:day:DATE",
    "calls HOUR, looks HOUR, cpu_us, event KIND, DEVICE samples|abs_us|within|max_us",
    "whole number",
    70 * DAY_MS,
    "every call",
    "one day (UTC) summed up, for the KPIs",
)
RATE = Key(
    "{site}:rate:WINDOW",
    "device id, account or address",
    "whole number",
    60_000,
    "every call",
    "calls in one window of time",
)
REQUESTS = Key(
    "{site}:requests",
    "ROUTE STATUS",
    "whole number",
    None,
    "control plane",
    "requests answered; the site - stands for those that belong to none",
)
CPU = Key(
    "{site}:cpu_us", "ROUTE", "whole number", None, "control plane", "CPU time of the calls, us"
)
EVENTS = Key(
    "{site}:events", "kind", "whole number", None, "control plane", "what happened, counted"
)
ACCOUNTS = Key(
    "{site}:accounts",
    "name",
    "Account",
    None,
    "control plane",
    "who may log in, and what they may do; of the site -, as is the log of it",
)
LOGIN = Key(
    "{site}:login:DIGEST",
    '"login"',
    "Login",
    12 * HOUR_MS,
    "control plane",
    "one login, by the hash of its cookie, of the site -; it ends so long after it began",
)
CLOUD_KEYS: tuple[Key, ...] = (
    *(SITES, SITE, ENDED, HISTORY, ENROL_TOKENS, DEVICES, REPORTS, STATUSES, SEEN, LEADS),
    *(QUEUE, ACKS, PROGRESS, EVENT_LOG, DEVICE_LOG, FLAG_LOG, DRIFT_LOG, TELEMETRY_LOG, DELIVERED),
    *(DAY, RATE, REQUESTS, CPU, EVENTS, ACCOUNTS, LOGIN),
)


def device_key(row: Key) -> str:
    """The full name of a device key."""
    return f"{PREFIX}:{row.name}"


def cloud_key(prefix: str, row: Key, site: str = "", part: str = "") -> str:
    """The full name of a cloud key; ``part`` stands for its word in capitals."""
    return _pattern(row.name) % {"prefix": prefix, "site": site, "part": part}


@cache
def _pattern(name: str) -> str:
    for word in ("SESSION", "DEVICE", "DATE", "WINDOW", "DIGEST"):
        name = name.replace(word, "%(part)s")
    return "%(prefix)s:" + name.replace("{site}", "{%(site)s}")


def date_of(at_ms: int) -> str:
    """The day (UTC) of a time, as in the name of `DAY`: YYYYMMDD."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%d}"
