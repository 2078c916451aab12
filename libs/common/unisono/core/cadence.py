"""How often a device calls the cloud: one table, state x LAN health -> interval per call.

The table holds factors of the site's own intervals (``SYNC_HEARTBEAT_S`` and its neighbours),
so that an operator's setting scales every row.
"""

from dataclasses import dataclass
from enum import StrEnum

from unisono.core.mode import Mode

# Calls of many devices that were started together drift apart by up to this share.
JITTER = 0.1
# A cloud that is away is asked less and less often, down to this.
MAX_BACKOFF_S = 30.0
# So, when a cloud that was away for T is back, each device has called within about T, and within
# this in any case (a call that hangs as the cloud comes back is given up after eight seconds).
MAX_RETURN_S = 8.0 + MAX_BACKOFF_S * (1.0 + JITTER)
# A secret that the cloud refuses does not become right by asking often.
REFUSED_S = 30.0
# What the cloud may ask for in a hint or in Retry-After; beyond that it is nonsense.
MIN_ASKED_S = 0.2
MAX_ASKED_S = 3600.0


class Activity(StrEnum):
    """What a device is busy with, as far as the cloud's bill goes."""

    IDLE = "idle"  # no session
    STARTING = "starting"  # a session that does not play yet
    PLAYING = "playing"


class LanHealth(StrEnum):
    """Whether the LAN carries the timing."""

    GOOD = "good"
    BAD = "bad"


class Call(StrEnum):
    """The calls that a device makes by the clock."""

    HEARTBEAT = "heartbeat"
    STATUS = "status"
    COMMANDS = "commands"


@dataclass(frozen=True, slots=True)
class Factors:
    """One row: by how much each call's own interval is stretched."""

    heartbeat: float = 1.0
    status: float = 1.0
    commands: float = 1.0

    def of(self, call: Call) -> float:
        """The factor of one call."""
        return {
            Call.HEARTBEAT: self.heartbeat,
            Call.STATUS: self.status,
            Call.COMMANDS: self.commands,
        }[call]


TABLE: dict[tuple[Activity, LanHealth], Factors] = {
    (Activity.IDLE, LanHealth.GOOD): Factors(status=5.0),
    (Activity.IDLE, LanHealth.BAD): Factors(status=5.0),
    (Activity.STARTING, LanHealth.GOOD): Factors(),
    (Activity.STARTING, LanHealth.BAD): Factors(),
    (Activity.PLAYING, LanHealth.GOOD): Factors(),
    (Activity.PLAYING, LanHealth.BAD): Factors(),
}


def situation(in_session: bool, mode: Mode) -> tuple[Activity, LanHealth]:
    """The row of the table that a device is in."""
    health = LanHealth.GOOD if mode is Mode.LAN else LanHealth.BAD
    if not in_session:
        return Activity.IDLE, health
    return (Activity.STARTING if mode is Mode.STOPPED else Activity.PLAYING), health


def interval_s(call: Call, base_s: float, row: tuple[Activity, LanHealth]) -> float:
    """The interval of ``call`` in that row, where the site's own interval is ``base_s``."""
    return base_s * TABLE[row].of(call)


def next_wait_s(
    interval: float,
    *,
    jitter: float,
    failures: int = 0,
    refused: bool = False,
    asked_s: float | None = None,
) -> float:
    """How long to wait for the next call.

    ``jitter`` lies in [-1, 1]. ``failures`` counts calls that failed in a row: each doubles the
    wait. ``asked_s`` is what the cloud asked for, by hint or Retry-After: after a success it
    replaces the interval, after a failure it is the least.
    """
    spread = 1.0 + JITTER * jitter
    asked = None if asked_s is None else min(max(asked_s, MIN_ASKED_S), MAX_ASKED_S)
    if failures == 0:
        return (interval if asked is None else asked) * spread
    if refused:
        wait = max(REFUSED_S, interval)
    else:
        wait = min(interval * 2.0 ** min(failures - 1, 16), max(MAX_BACKOFF_S, interval))
    # Never sooner than asked: the jitter then only adds.
    return max(wait * spread, (asked or 0.0) * (1.0 + JITTER * abs(jitter)))
