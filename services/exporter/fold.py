"""Messages of the device's bus, folded into the ledger of metrics. Pure: now is an argument."""

from collections.abc import Mapping

from unisono.bus.topics import (
    CLOUD,
    DRIFT,
    LINK,
    TIMING,
    CloudStats,
    DriftSample,
    LinkStats,
    Timing,
)
from unisono.bus.topics import TOPICS as BUS_TOPICS
from unisono.core.units import NS_PER_S, PPB, OwnNs, ns_to_s
from unisono.telemetry import table
from unisono.telemetry.ledger import Ledger

# A topic that has been silent this long tells nothing of now: its readings are withdrawn. Five
# repeats of the slowest topic; a process that is started again is back sooner.
SILENT_NS = 5 * NS_PER_S

_READINGS = {
    DRIFT.name: (*(table.DRIFT, table.TERM, table.SPEED, table.PLAYER_FAULT, table.START_ERROR),),
    LINK.name: (
        *(table.CLOCK_OFFSET, table.CLOCK_SKEW, table.CLOCK_BOUND, table.RTT, table.BEACON_LATE),
    ),
    CLOUD.name: (table.CLOUD_CONNECTED,),
}
_STATES = {
    DRIFT.name: (table.MODE, table.ROLE, table.PLAYER_STATE),
    LINK.name: (table.BEACON_PATH,),
}


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else ns_to_s(value_ns)


def _pairs(counts: Mapping[str, int], separator: str) -> dict[tuple[str, ...], float]:
    """``{"lan>cloud": 1}`` as ``{("lan", "cloud"): 1}``; what does not split is no series."""
    found: dict[tuple[str, ...], float] = {}
    for text, count in counts.items():
        one, middle, other = text.rpartition(separator)
        if middle:
            found[(one, other)] = count
    return found


def _single(counts: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in counts.items()}


class Fold:
    """Takes every message heard and keeps the ledger true."""

    def __init__(self, ledger: Ledger, *, now_ns: OwnNs) -> None:
        self._ledger = ledger
        self._heard_ns = dict.fromkeys((topic.name for topic in BUS_TOPICS), now_ns)
        self._drift_at_ns: OwnNs | None = None
        self._beacon_ns: OwnNs | None = None
        self._contact_ns: OwnNs | None = None

    def take(self, topic: str, message: object, *, now_ns: OwnNs) -> None:
        """Fold one message in; a topic without metrics is only counted."""
        self._heard_ns[topic] = now_ns
        self._ledger.add(table.BUS_MESSAGES, 1, topic)
        match message:
            case DriftSample():
                self._drift(message)
            case LinkStats():
                self._link(message)
            case CloudStats():
                self._cloud(message)
            case Timing():
                self._beacon_ns = message.beacon_own_ns

    def take_undecodable(self, counts: Mapping[str, int]) -> None:
        """Fold in how many messages of each topic could not be decoded so far."""
        self._ledger.absorb_all(table.BUS_UNDECODABLE, _single(counts))

    def refresh(self, *, now_ns: OwnNs) -> None:
        """Bring what depends on the present up to date; call it right before a scrape."""
        ledger = self._ledger
        for topic, heard_ns in self._heard_ns.items():
            ledger.set(table.BUS_AGE, ns_to_s(now_ns - heard_ns), topic)
            if now_ns - heard_ns < SILENT_NS:
                continue
            for metric in _READINGS.get(topic, ()):
                ledger.set(metric, None)
            for metric in _STATES.get(topic, ()):
                ledger.show(metric, None)
            if topic == TIMING.name:
                self._beacon_ns = None
        for metric, since_ns in (
            (table.BEACON_AGE, self._beacon_ns),
            (table.CLOUD_AGE, self._contact_ns),
        ):
            ledger.set(metric, None if since_ns is None else ns_to_s(now_ns - since_ns))

    def ages_s(self, *, now_ns: OwnNs) -> dict[str, float]:
        """Seconds since each topic spoke (before that: since the start)."""
        return {topic: round(ns_to_s(now_ns - at), 3) for topic, at in self._heard_ns.items()}

    def _drift(self, sample: DriftSample) -> None:
        # The newest sample is repeated while nothing changes; only a new reading counts.
        fresh = sample.at_own_ns != self._drift_at_ns
        self._drift_at_ns = sample.at_own_ns
        ledger, drift_s = self._ledger, _seconds(sample.drift_ns)
        if fresh and drift_s is not None:
            ledger.observe(table.DRIFT_ABS, abs(drift_s))
        ledger.set(table.DRIFT, drift_s)
        ledger.set(table.TERM, sample.term if sample.session_id else None)
        ledger.set(table.SPEED, sample.speed)
        ledger.set(table.PLAYER_FAULT, 1.0 if sample.fault else 0.0)
        ledger.set(table.START_ERROR, _seconds(sample.start_error_ns))
        ledger.show(table.MODE, sample.mode)
        ledger.show(table.ROLE, sample.role)
        ledger.show(table.PLAYER_STATE, sample.player_state)
        ledger.absorb(table.SEEKS, sample.seeks)
        ledger.absorb(table.SPEED_CHANGES, sample.speed_changes)
        ledger.absorb_all(table.MODE_SECONDS, _single(sample.mode_seconds))
        ledger.absorb_all(table.TRANSITIONS, _pairs(sample.transitions, ">"))

    def _link(self, stats: LinkStats) -> None:
        ledger = self._ledger
        ledger.absorb(table.SENT, stats.sent)
        ledger.absorb(table.UNSENT, stats.unsent)
        ledger.absorb(table.RECEIVED, stats.received)
        ledger.absorb(table.LOST, stats.lost)
        ledger.absorb(table.PROBES_SENT, stats.probes_sent)
        ledger.absorb(table.PROBES_ANSWERED, stats.probes_answered)
        ledger.absorb_all(table.REFUSED, _single(stats.refused))
        ledger.absorb_all(table.RECEIVED_BY_PATH, _single(stats.received_by_path))
        ledger.absorb_all(table.COPIES, _single(stats.copies_by_path))
        ledger.absorb_all(table.LOST_BY_PATH, _single(stats.lost_by_path))
        ledger.absorb_all(table.PATH_RESTARTS, _single(stats.restarts_by_path))
        ledger.show(table.BEACON_PATH, stats.path or None)
        ledger.set(table.BEACON_LATE, _seconds(stats.beat_late_ns))
        skew = None if stats.skew_ppb is None else stats.skew_ppb / PPB
        ledger.set(table.CLOCK_SKEW, skew)
        ledger.set(table.CLOCK_OFFSET, _seconds(stats.offset_ns))
        ledger.set(table.CLOCK_BOUND, _seconds(stats.bound_ns))
        ledger.set(table.RTT, _seconds(stats.rtt_ns))

    def _cloud(self, stats: CloudStats) -> None:
        self._contact_ns = stats.last_contact_own_ns
        self._ledger.set(table.CLOUD_CONNECTED, 1.0 if stats.connected else 0.0)
        self._ledger.absorb_all(table.CLOUD_REQUESTS, _pairs(stats.requests, " "))
        self._ledger.absorb_all(table.CLOUD_COMMANDS, _pairs(stats.commands, " "))
