"""The table of keys: name, TTL, single writer, meaning. Every key is a hash.

Device keys live in the device's own Redis; cloud keys in the control plane's, where ``{site}``
is the hash tag, so that all keys of one site share a slot. What has no TTL must not be lost.
"""

from dataclasses import dataclass

PREFIX = "unisono"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Key:
    """One row. ``fields`` says what a field's name is; its value's type is ``value``."""

    name: str
    fields: str
    value: str
    ttl_ms: int | None
    writer: str
    meaning: str


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
DEVICE_KEYS: tuple[Key, ...] = (DESIRED, SEQ, TIMELINE, CLOCK, OUTCOMES)

SITES = Key("sites", "site", '""', None, "control plane", "every site that exists")
SITE = Key(
    "{site}:site",
    "v, d",
    "version; SiteDocument",
    None,
    "control plane, guarded by v",
    "the sessions that run at a site: the one document that decisions change",
)
ENDED = Key(
    "{site}:ended:SESSION",
    "v, d",
    "version; SessionRecord",
    30 * DAY_MS,
    "control plane",
    "a session that has ended",
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
QUEUE = Key(
    "{site}:queue:DEVICE",
    "command id",
    "Command",
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
REQUESTS = Key(
    "{site}:requests",
    "ROUTE STATUS",
    "whole number",
    None,
    "control plane",
    "requests answered; the site - stands for those that belong to none",
)
EVENTS = Key(
    "{site}:events", "kind", "whole number", None, "control plane", "what happened, counted"
)
CLOUD_KEYS: tuple[Key, ...] = (
    *(SITES, SITE, ENDED, ENROL_TOKENS, DEVICES, REPORTS, STATUSES, SEEN),
    *(QUEUE, ACKS, REQUESTS, EVENTS),
)


def device_key(row: Key) -> str:
    """The full name of a device key."""
    return f"{PREFIX}:{row.name}"


def cloud_key(prefix: str, row: Key, site: str = "", part: str = "") -> str:
    """The full name of a cloud key; ``part`` stands for its session or device."""
    name = row.name.replace("{site}", f"{{{site}}}")
    for word in ("SESSION", "DEVICE"):
        name = name.replace(word, part)
    return f"{prefix}:{name}"
