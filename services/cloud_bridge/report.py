"""What a device says of itself to the cloud: the bodies of heartbeat and sync status."""

from collections import deque
from typing import Any

import msgspec

from unisono.bus.topics import DriftSample
from unisono.core.mode import Mode
from unisono.core.session import Desired, Role
from unisono.core.summary import summarise_ms
from unisono.core.units import NS_PER_S, OwnNs, ns_to_ms

# Samples kept while the cloud is away: at 5 Hz a quarter of an hour; then the oldest go.
MAX_SAMPLES = 4500
# The corrector speaks several times a second; silent for so long, it is gone.
STALE_NS = 5 * NS_PER_S


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

    def take(self) -> list[float]:
        """The drifts since the last `take`, ms; put them back if they were not delivered."""
        drifts = list(self._drifts_ms)
        self._drifts_ms.clear()
        return drifts

    def put_back(self, drifts_ms: list[float]) -> None:
        """Drifts that the cloud did not take, before those that came since."""
        newer = list(self._drifts_ms)
        self._drifts_ms.clear()
        self._drifts_ms.extend(drifts_ms + newer)


def heartbeat_body(
    *,
    address: str,
    beacon_port: int,
    probe_port: int,
    version: str,
    desired: Desired | None,
    sample: DriftSample | None,
) -> dict[str, Any]:
    """The body of *device heartbeat*."""
    session = None if desired is None else desired.session
    return {
        "address": address,
        "beacon_port": beacon_port,
        "probe_port": probe_port,
        "player": "" if sample is None else sample.player_state.value,
        "version": version,
        "session_id": "" if session is None else session.session_id,
        "term": 0 if session is None else session.term,
        "revision": 0 if desired is None else desired.revision,
        "mode": "" if sample is None else sample.mode.value,
    }


def status_body(
    device_id: str, desired: Desired | None, sample: DriftSample | None, drifts_ms: list[float]
) -> dict[str, Any]:
    """The body of *sync status runtime*."""
    session = None if desired is None else desired.session
    role = Role.IDLE if session is None else session.role_of(device_id)
    body: dict[str, Any] = {
        "session_id": "" if session is None else session.session_id,
        "term": 0 if session is None else session.term,
        "role": role.value,
        "drift_ms": msgspec.to_builtins(summarise_ms(drifts_ms)),
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
