"""What happens to a device, as its drift samples tell: events, and one summary a minute. Pure."""

from collections import deque
from collections.abc import Iterator

from unisono.bus.topics import DriftSample
from unisono.core.event_kinds import FALLBACK
from unisono.core.mode import Mode
from unisono.core.outbox import Told
from unisono.core.session import Role
from unisono.core.summary import summarise_ms
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs, ns_to_ms

SPAN_NS = 60 * NS_PER_S
# Samples of one span that are summed up; the corrector makes ten a second.
MAX_SAMPLES = 1200
# A seek now and then is how a device finds its place; so many in a row are seen by the audience.
BURST_SEEKS = 3
BURST_NS = 10 * NS_PER_S
# What goes on is told again after so long, and not with each sample that says so.
AGAIN_NS = 60 * NS_PER_S
MAX_DETAIL = 256

_MODE_EVENTS = {Mode.LAN: "lan", Mode.HOLDOVER: "holdover", Mode.CLOUD: FALLBACK}
_ON_LAN = {Mode.LAN, Mode.HOLDOVER}


class Happenings:
    """Compares each sample with the one before it."""

    def __init__(self) -> None:
        self._last: DriftSample | None = None
        self._seeks_own_ns: deque[OwnNs] = deque(maxlen=BURST_SEEKS)
        self._told_own_ns: dict[str, OwnNs] = {}

    def hear(self, sample: DriftSample, now_own_ns: OwnNs, wall_ms: int) -> Iterator[Told]:
        """What has happened since the last sample."""
        old, self._last = self._last, sample
        for event, detail in self._found(old, sample, now_own_ns):
            yield Told(
                at_ms=wall_ms,
                session_id=sample.session_id,
                term=sample.term,
                mode=sample.mode.value,
                event=event,
                detail=detail[:MAX_DETAIL],
            )

    def _found(
        self, old: DriftSample | None, new: DriftSample, now_own_ns: OwnNs
    ) -> Iterator[tuple[str, str]]:
        if new.role is not Role.IDLE and (old is None or old.role is not new.role):
            yield "role", new.role.value
        if old is not None and _is_told(old, new):
            yield _MODE_EVENTS[new.mode], f"{old.mode} to {new.mode}"
        if old is not None and self._burst(new.seeks - old.seeks, now_own_ns):
            yield "seek", f"{BURST_SEEKS} seeks or more within {BURST_NS // NS_PER_S} s"
        started = new.fault and (old is None or old.fault != new.fault)
        if started and self._is_due(f"fault {new.fault}", now_own_ns):
            yield "fault", new.fault

    def _burst(self, seeks: int, now_own_ns: OwnNs) -> bool:
        """Whether these seeks make a burst that was not told yet."""
        if seeks <= 0:  # none, or the corrector has begun anew
            return False
        self._seeks_own_ns.extend([now_own_ns] * min(seeks, BURST_SEEKS))
        full = len(self._seeks_own_ns) == BURST_SEEKS
        close = full and now_own_ns - self._seeks_own_ns[0] <= BURST_NS
        return close and self._is_due("seek", now_own_ns)

    def _is_due(self, what: str, now_own_ns: OwnNs) -> bool:
        told = self._told_own_ns
        for name in [name for name, at in told.items() if now_own_ns - at >= AGAIN_NS]:
            del told[name]
        if what in told:
            return False
        told[what] = now_own_ns
        return True


def _is_told(old: DriftSample, new: DriftSample) -> bool:
    """Whether the change of mode between two samples is an event: onto the LAN, or off it.

    Not the start of a session in cloud mode, nor its end.
    """
    if new.mode is old.mode or new.mode is Mode.STOPPED:
        return False
    if new.mode is Mode.CLOUD:
        return old.mode in _ON_LAN and old.session_id == new.session_id
    return True


class Minutes:
    """Sums up the drifts of each minute of a session; a new session or term begins a new one."""

    def __init__(self) -> None:
        self._drifts_ms: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._last: DriftSample | None = None
        self._since_own_ns = OwnNs(0)

    def hear(self, sample: DriftSample, now_own_ns: OwnNs, wall_ms: int) -> Told | None:
        """Note a sample; the summary of the span that it ends, if it does."""
        last, ended = self._last, None
        another = last is None or _term(last) != _term(sample)
        if another or now_own_ns - self._since_own_ns >= SPAN_NS:
            ended = self._summary(now_own_ns, wall_ms)
            self._since_own_ns = now_own_ns
        if sample.drift_ns is not None:
            self._drifts_ms.append(ns_to_ms(sample.drift_ns))
        self._last = sample
        return ended

    def _summary(self, now_own_ns: OwnNs, wall_ms: int) -> Told | None:
        """The span until now; None outside a session. A span without a sample is told as such."""
        last, drifts_ms = self._last, list(self._drifts_ms)
        self._drifts_ms.clear()
        if last is None or not last.session_id:
            return None
        return Told(
            at_ms=wall_ms,
            session_id=last.session_id,
            term=last.term,
            mode=last.mode.value,
            span_ms=(now_own_ns - self._since_own_ns) // NS_PER_MS,
            drift_ms=summarise_ms(drifts_ms),
        )


def _term(sample: DriftSample) -> tuple[str, int]:
    return sample.session_id, sample.term
