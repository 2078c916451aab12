"""Bus messages become metrics: counters across restarts, readings only while they are fresh."""

from dataclasses import replace

from services.exporter.fold import SILENT_NS, Fold
from unisono.bus.topics import CloudStats, DriftSample, LinkStats, Timing
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Role
from unisono.core.units import NS_PER_S, OwnNs
from unisono.telemetry import table
from unisono.telemetry.ledger import Ledger
from unisono.telemetry.table import Metric

T0 = OwnNs(5_000 * NS_PER_S)
DRIFT = DriftSample(
    session_id="s1",
    term=3,
    role=Role.FOLLOWER,
    at_own_ns=T0,
    mode=Mode.LAN,
    player_state=PlayerState.PLAYING,
    drift_ns=-2_000_000,
    phase_ns=1,
    bound_ns=100_000,
    speed=1.01,
    seeks=2,
    speed_changes=7,
    transitions={"cloud>lan": 1},
    mode_seconds={"lan": 12.5},
    start_error_ns=400_000,
)
LINK = LinkStats(
    session_id="s1",
    term=3,
    role=Role.FOLLOWER,
    unsent=4,
    received=100,
    lost=2,
    refused={"late": 3},
    path="udp-unicast",
    received_by_path={"tcp": 100},
    copies_by_path={"tcp": 100, "udp-unicast": 90},
    lost_by_path={"udp-unicast": 10},
    restarts_by_path={"udp": 1},
    beat_late_ns=150_000,
    probes_sent=10,
    probes_answered=9,
    rtt_ns=250_000,
    offset_ns=-7 * NS_PER_S,
    skew_ppb=1500,
    bound_ns=125_000,
)
CLOUD = CloudStats(
    connected=True,
    last_contact_own_ns=T0,
    requests={"heartbeat 200": 4, "status error": 1},
    commands={"SYNC_PREPARE done": 1},
)


def later(seconds: float) -> OwnNs:
    return OwnNs(T0 + round(seconds * NS_PER_S))


class Device:
    """A fold, its ledger, and short ways to speak to both."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.fold = Fold(self.ledger, now_ns=T0)

    def hear(self, topic: str, message: object, at_s: float = 0.0) -> None:
        self.fold.take(topic, message, now_ns=later(at_s))

    def value(self, metric: Metric, *labels: str) -> float | None:
        return self.ledger.values(metric).get(labels)


def test_a_drift_sample_sets_every_reading() -> None:
    device = Device()
    device.hear("drift", DRIFT)
    assert device.value(table.DRIFT) == -0.002
    assert device.value(table.TERM) == 3
    assert device.value(table.SPEED) == 1.01
    assert device.value(table.START_ERROR) == 0.0004
    assert device.value(table.PLAYER_FAULT) == 0
    assert device.value(table.MODE, "lan") == 1
    assert device.value(table.MODE, "cloud") == 0
    assert device.value(table.ROLE, "follower") == 1
    assert device.value(table.PLAYER_STATE, "playing") == 1
    assert device.value(table.SEEKS) == 2
    assert device.value(table.SPEED_CHANGES) == 7
    assert device.value(table.TRANSITIONS, "cloud", "lan") == 1
    assert device.value(table.MODE_SECONDS, "lan") == 12.5
    assert device.ledger.histogram(table.DRIFT_ABS).total == 0.002


def test_a_repeated_sample_is_observed_once() -> None:
    device = Device()
    for _ in range(3):
        device.hear("drift", DRIFT)
    device.hear("drift", replace(DRIFT, at_own_ns=later(0.1)))
    assert sum(device.ledger.histogram(table.DRIFT_ABS).counts) == 2
    assert device.value(table.BUS_MESSAGES, "drift") == 4


def test_no_drift_is_not_a_drift_of_zero() -> None:
    device = Device()
    device.hear("drift", DRIFT)
    idle = replace(
        DRIFT, at_own_ns=later(1), drift_ns=None, session_id="", start_error_ns=None, fault="gone"
    )
    device.hear("drift", idle, 1)
    assert sum(device.ledger.histogram(table.DRIFT_ABS).counts) == 1
    assert device.value(table.DRIFT) is None
    assert device.value(table.TERM) is None
    assert device.value(table.START_ERROR) is None
    assert device.value(table.PLAYER_FAULT) == 1


def test_link_counters_grow_on_when_the_beacon_process_starts_again() -> None:
    device = Device()
    device.hear("link", LINK)
    device.hear("link", replace(LINK, received=5, lost=0, refused={}, received_by_path={"tcp": 5}))
    device.hear("link", replace(LINK, received=9, lost=1, refused={"late": 3, "signature": 1}))
    assert device.value(table.RECEIVED) == 109
    assert device.value(table.LOST) == 3
    assert device.value(table.REFUSED, "late") == 6
    assert device.value(table.REFUSED, "signature") == 1
    assert device.value(table.RECEIVED_BY_PATH, "tcp") == 200
    assert device.value(table.PROBES_ANSWERED) == 9


def test_each_path_is_counted_by_itself_and_one_is_in_use() -> None:
    device = Device()
    for path in table.PATHS:
        assert device.value(table.COPIES, path) == 0
    device.hear("link", LINK)
    assert device.value(table.UNSENT) == 4
    assert device.value(table.COPIES, "udp-unicast") == 90
    assert device.value(table.COPIES, "pgm") == 0
    assert device.value(table.LOST_BY_PATH, "udp-unicast") == 10
    assert device.value(table.LOST_BY_PATH, "tcp") == 0
    assert device.value(table.PATH_RESTARTS, "udp") == 1
    assert device.value(table.BEACON_PATH, "udp-unicast") == 1
    device.hear("link", replace(LINK, path="udp", restarts_by_path={"udp": 1, "tcp": 2}))
    paths = {path: device.value(table.BEACON_PATH, path) for path in table.PATHS}
    assert paths == {"pgm": 0, "udp": 1, "udp-unicast": 0, "tcp": 0}
    assert device.value(table.PATH_RESTARTS, "tcp") == 2
    device.hear("link", replace(LINK, path=""))
    assert set(device.ledger.values(table.BEACON_PATH).values()) == {0}


def test_link_gauges_are_in_base_units_or_absent() -> None:
    device = Device()
    device.hear("link", LINK)
    assert device.value(table.BEACON_LATE) == 0.00015
    assert device.value(table.RTT) == 0.00025
    assert device.value(table.CLOCK_OFFSET) == -7
    assert device.value(table.CLOCK_SKEW) == 1.5e-6
    assert device.value(table.CLOCK_BOUND) == 0.000125
    device.hear("link", replace(LINK, rtt_ns=None, offset_ns=None, skew_ppb=None, bound_ns=None))
    assert device.value(table.CLOCK_OFFSET) is None
    assert device.value(table.CLOCK_BOUND) is None


def test_cloud_counters_are_split_by_route_and_outcome() -> None:
    device = Device()
    device.hear("cloud", CLOUD)
    assert device.value(table.CLOUD_CONNECTED) == 1
    assert device.value(table.CLOUD_REQUESTS, "heartbeat", "200") == 4
    assert device.value(table.CLOUD_REQUESTS, "status", "error") == 1
    assert device.value(table.CLOUD_COMMANDS, "SYNC_PREPARE", "done") == 1
    device.fold.refresh(now_ns=later(2))
    assert device.value(table.CLOUD_AGE) == 2


def test_ages_count_from_the_last_word_or_from_the_start() -> None:
    device = Device()
    timing = Timing("s1", 3, Role.FOLLOWER, None, None, later(1), None, "tcp")
    device.hear("timing", timing, 1)
    device.fold.refresh(now_ns=later(1.5))
    assert device.value(table.BUS_AGE, "timing") == 0.5
    assert device.value(table.BUS_AGE, "drift") == 1.5
    assert device.value(table.BEACON_AGE) == 0.5
    assert device.fold.ages_s(now_ns=later(1.5))["desired"] == 1.5


def test_what_a_silent_process_said_is_withdrawn_but_its_counters_stay() -> None:
    device = Device()
    device.hear("drift", DRIFT)
    device.hear("link", LINK)
    device.fold.refresh(now_ns=OwnNs(T0 + SILENT_NS - 1))
    assert device.value(table.DRIFT) == -0.002
    device.fold.refresh(now_ns=OwnNs(T0 + SILENT_NS))
    assert device.value(table.DRIFT) is None
    assert device.value(table.CLOCK_OFFSET) is None
    assert device.value(table.BEACON_LATE) is None
    assert set(device.ledger.values(table.MODE).values()) == {0}
    assert set(device.ledger.values(table.BEACON_PATH).values()) == {0}
    assert device.value(table.SEEKS) == 2
    assert device.value(table.RECEIVED) == 100
    device.hear("drift", replace(DRIFT, at_own_ns=later(60), seeks=1), 60)
    assert device.value(table.MODE, "lan") == 1
    assert device.value(table.SEEKS) == 3


def test_an_unknown_topic_or_key_is_harmless() -> None:
    device = Device()
    device.hear("weather", object())
    device.hear("cloud", replace(CLOUD, requests={"nonsense": 1}))
    assert device.value(table.BUS_MESSAGES, "weather") == 1
    assert device.value(table.CLOUD_CONNECTED) == 1
