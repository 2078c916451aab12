"""Scenario rows: a network, what happens on it, and what must hold. Pure.

One table for three users: the lab (real processes, `tests.netlab.run`), the simulation
(`tests.sim`) and the benchmark (`python -m benchmarks.netlab`). A row says what differs.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Event(StrEnum):
    """What happens while a row is judged, once."""

    NOTHING = "nothing"
    MULTICAST_DIES = "multicast dies, and comes back"
    PARTITION = "the master is cut off"
    FOLLOWER_DOWN = "a follower's interface goes down, and up"
    MASTER_DOWN = "the master's interface goes down, and up"
    FOLLOWER_REPLUGGED = "a follower's interface is taken away, and made anew"
    MASTER_REPLUGGED = "the master's interface is taken away, and made anew"
    FOLLOWER_MOVES = "a follower gets another address"
    MASTER_MOVES = "the master gets another address"


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold of every follower.

    ``mean_ms`` and ``p99_ms`` are of the true |error| of the clock map it plays by; ``lost`` the
    beacons that no path brought because of the event; ``back_s`` how soon after the event's end
    beacons count again.
    """

    mean_ms: float
    p99_ms: float
    outside_bound_ratio: float = 0.002
    lost: int | None = None
    back_s: float | None = None


WIRED = Limits(mean_ms=0.05, p99_ms=0.2)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row. ``away_s`` is how long the event lasts."""

    name: str
    network: str = "wired"
    event: Event = Event.NOTHING
    away_s: float = 3.0
    limits: Limits = WIRED
    path: str | None = "udp"  # what carries the beat at the end; None: whichever comes first
    rate_kbits: float = 0.0  # of the master's own cable, upwards
    flags: dict[str, str] = field(default_factory=dict)


SCENARIOS = (
    Scenario("wired"),
    Scenario("wifi-good", "wifi-good", path=None, limits=Limits(mean_ms=0.1, p99_ms=0.3)),
    Scenario("wifi-bad", "wifi-bad", path=None, limits=Limits(mean_ms=0.1, p99_ms=0.4)),
    Scenario("wifi-awful", "wifi-awful", path=None, limits=Limits(mean_ms=0.5, p99_ms=1.5)),
    # Half of the asymmetry cannot be known: 1.9 ms of error inside a bound that says so.
    Scenario("asymmetric", "asymmetric", limits=Limits(mean_ms=2.1, p99_ms=2.3)),
    Scenario("multicast-blocked", "multicast-blocked", path="udp-unicast"),
    # A stream's acknowledgements go between the probes.
    Scenario(
        "tcp-only",
        "multicast-blocked",
        path="tcp",
        limits=Limits(mean_ms=0.1, p99_ms=0.3),
        flags={"SYNC_LAN_TRANSPORT": "tcp"},
    ),
    Scenario("udp-blocked", "udp-blocked", path="tcp"),
    # One beat is missed before unicast is asked for, and one more may be on its way.
    Scenario(
        "multicast-dies",
        event=Event.MULTICAST_DIES,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, lost=2),
    ),
    Scenario(
        "partition",
        event=Event.PARTITION,
        away_s=10.0,
        limits=Limits(mean_ms=0.1, p99_ms=0.3, back_s=1.0),
    ),
    Scenario(
        "follower-down",
        event=Event.FOLLOWER_DOWN,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    Scenario(
        "master-down",
        event=Event.MASTER_DOWN,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    Scenario(
        "follower-replugged",
        event=Event.FOLLOWER_REPLUGGED,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    Scenario(
        "master-replugged",
        event=Event.MASTER_REPLUGGED,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    Scenario(
        "follower-moves",
        event=Event.FOLLOWER_MOVES,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    Scenario(
        "master-moves",
        event=Event.MASTER_MOVES,
        limits=Limits(mean_ms=0.05, p99_ms=0.2, back_s=1.0),
    ),
    # An answer of 122 bytes takes 1.9 ms on that wire, a request nothing: half of that cannot be
    # known. With a quarter of the rate the copies of a joining site would already queue.
    Scenario("slow-master", rate_kbits=512, limits=Limits(mean_ms=1.1, p99_ms=1.4)),
)


def find(name: str) -> Scenario:
    """The row called ``name``; KeyError when there is none."""
    return {row.name: row for row in SCENARIOS}[name]
