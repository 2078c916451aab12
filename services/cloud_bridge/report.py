"""What a device says of itself to the cloud: the bodies of heartbeat and sync status."""

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from services.cloud_bridge.machine import Machine
from unisono.bus.topics import DriftSample, LinkStats
from unisono.config import Settings
from unisono.core.mode import Mode
from unisono.core.session import Desired, Role
from unisono.core.summary import summarise_ms
from unisono.core.units import NS_PER_S, OwnNs, ns_to_ms

# Samples kept while the cloud is away: at 5 Hz a quarter of an hour; then the oldest go.
MAX_SAMPLES = 4500
# The corrector speaks several times a second, the beacon process once; silent for so long, it is
# gone.
STALE_NS = 5 * NS_PER_S
# Loss is told of the last minute: over a day's counters no outage would show.
LOSS_REPORTS = 60


# The session and term of a device that has none.
_NOTHING = ("", 0)


@dataclass(frozen=True, slots=True)
class Drifts:
    """Drifts of one session and term, ms, oldest first."""

    of: tuple[str, int]
    ms: tuple[float, ...]


class Observed:
    """What the corrector told lately."""

    def __init__(self) -> None:
        self._drifts_ms: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._last: DriftSample | None = None
        self._heard_own_ns = OwnNs(0)

    def hear(self, sample: DriftSample, now_own_ns: OwnNs) -> None:
        """Note one sample; a new session or term starts the statistics anew."""
        last = self._last
        if last and (last.session_id, last.term) != (sample.session_id, sample.term):
            self._drifts_ms.clear()
        if sample.drift_ns is not None:
            self._drifts_ms.append(ns_to_ms(sample.drift_ns))
        self._last, self._heard_own_ns = sample, now_own_ns

    def last(self, now_own_ns: OwnNs) -> DriftSample | None:
        """The newest sample; None when there is none, or it is stale."""
        return self._last if now_own_ns - self._heard_own_ns <= STALE_NS else None

    def mode(self, now_own_ns: OwnNs) -> Mode:
        """The mode that the device is in now."""
        last = self.last(now_own_ns)
        return Mode.STOPPED if last is None else last.mode

    def take(self) -> Drifts:
        """The drifts since the last `take`; put them back if they were not delivered."""
        drifts = Drifts(self._of(), tuple(self._drifts_ms))
        self._drifts_ms.clear()
        return drifts

    def put_back(self, drifts: Drifts) -> None:
        """Drifts that the cloud did not take, before those that came since.

        Those of a session or term that is over by now are forgotten.
        """
        if drifts.of != self._of():
            return
        newer = list(self._drifts_ms)
        self._drifts_ms.clear()
        self._drifts_ms.extend([*drifts.ms, *newer])

    def _of(self) -> tuple[str, int]:
        return _NOTHING if self._last is None else (self._last.session_id, self._last.term)


class LinkObserved:
    """What the beacon process told lately."""

    def __init__(self) -> None:
        self._reports: deque[LinkStats] = deque(maxlen=LOSS_REPORTS + 1)
        self._heard_own_ns = OwnNs(0)

    def hear(self, stats: LinkStats, now_own_ns: OwnNs) -> None:
        """Note one report; counters that went back are those of a process started anew."""
        if self._reports and _went_back(self._reports[-1], stats):
            self._reports.clear()
        self._reports.append(stats)
        self._heard_own_ns = now_own_ns

    def last(self, now_own_ns: OwnNs) -> LinkStats | None:
        """The newest report; None when there is none, or it is stale."""
        if not self._reports or now_own_ns - self._heard_own_ns > STALE_NS:
            return None
        return self._reports[-1]

    def lost_ratio_by_path(self) -> dict[str, float]:
        """The share of the last minute's beacons that each path lost; not of those unused."""
        if not self._reports:
            return {}
        first, last = self._reports[0], self._reports[-1]
        ratios: dict[str, float] = {}
        for path in {*last.copies_by_path, *last.lost_by_path}:
            came = last.copies_by_path.get(path, 0) - first.copies_by_path.get(path, 0)
            lost = last.lost_by_path.get(path, 0) - first.lost_by_path.get(path, 0)
            if came + lost > 0:
                ratios[path] = round(lost / (came + lost), 4)
        return ratios


def _went_back(before: LinkStats, after: LinkStats) -> bool:
    return any(
        now.get(path, 0) < count
        for then, now in (
            (before.copies_by_path, after.copies_by_path),
            (before.lost_by_path, after.lost_by_path),
        )
        for path, count in then.items()
    )


def lan_body(
    observed: LinkObserved, sample: DriftSample | None, now_own_ns: OwnNs
) -> dict[str, Any] | None:
    """Whether the LAN is active, and how well it does; None when the beacon process is silent."""
    stats = observed.last(now_own_ns)
    if stats is None:
        return None
    return {
        "active": sample is not None and sample.mode is Mode.LAN,
        "path": stats.path,
        "beacons_received": stats.received,
        "beacons_lost": stats.lost,
        "bound_ms": _ms(stats.bound_ns),
        "rtt_ms": _ms(stats.rtt_ns),
        "lost_ratio_by_path": observed.lost_ratio_by_path(),
    }


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else round(ns_to_ms(value_ns), 4)


def heartbeat_body(
    machine: Machine,
    settings: Settings,
    desired: Desired | None,
    sample: DriftSample | None,
    **own: Any,
) -> dict[str, Any]:
    """The body of *device heartbeat*; ``own`` are the fields that only the bridge knows."""
    session = None if desired is None else desired.session
    return {
        **dataclasses.asdict(machine),
        "beacon_port": settings.beacon_port,
        "probe_port": settings.probe_port,
        "player": "" if sample is None else sample.player_state.value,
        "player_version": "" if sample is None else sample.player_version[:256],
        "session_id": "" if session is None else session.session_id,
        "term": 0 if session is None else session.term,
        "revision": 0 if desired is None else desired.revision,
        "mode": "" if sample is None else sample.mode.value,
        **own,
    }


def status_body(
    device_id: str,
    desired: Desired | None,
    sample: DriftSample | None,
    drifts: Drifts,
    **own: Any,
) -> dict[str, Any]:
    """The body of *sync status runtime*; drifts of another session or term are left out.

    ``own`` are the fields that only the bridge knows; those that are None are left out.
    """
    session = None if desired is None else desired.session
    of = _NOTHING if session is None else (session.session_id, session.term)
    drifts_ms = list(drifts.ms) if drifts.of == of else []
    role = Role.IDLE if session is None else session.role_of(device_id)
    body: dict[str, Any] = {
        "session_id": "" if session is None else session.session_id,
        "term": 0 if session is None else session.term,
        "role": role.value,
        "drift_ms": msgspec.to_builtins(summarise_ms(drifts_ms)),
        **{name: value for name, value in own.items() if value is not None},
    }
    if sample is not None:
        body |= {
            "mode": sample.mode.value,
            "player_state": sample.player_state.value,
            "speed": sample.speed,
            "seeks": sample.seeks,
            "fault": sample.fault[:1024],
        }
    return body
