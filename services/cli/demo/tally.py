"""What the demo has seen of one device, folded from the messages of its bus. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.cli.demo.drifts import Drifts
from unisono.bus.topics import CloudStats, DriftSample, LinkStats
from unisono.core.grown import Grown
from unisono.core.mode import Mode
from unisono.core.summary import DriftSummary

SETTLE_S = 5.0  # drift counts from this long after the start on
FRESH_S = 2.0  # a sample older than this says nothing of now


@dataclass(slots=True)
class GrownMap:
    """Counters by name, of a process that may start again from nought."""

    by_name: dict[str, Grown] = field(default_factory=dict)

    def see(self, values: Mapping[str, float]) -> None:
        """Take all counters now."""
        for name, value in values.items():
            self.by_name.setdefault(name, Grown()).see(value)

    def totals(self) -> dict[str, float]:
        """Name to total."""
        return {name: grown.total for name, grown in self.by_name.items()}


@dataclass(slots=True)
class DeviceTally:
    """Everything the table and the report say of one device; times are the demo's own seconds."""

    device_id: str
    start_s: float = float("inf")  # when the session starts
    session_id: str = ""  # only its samples count
    drifts: Drifts = field(default_factory=Drifts)
    unknown: int = 0  # samples without a drift: not playing, or nothing to compare with
    last: DriftSample | None = None
    last_s: float = float("-inf")
    link: LinkStats | None = None
    start_error_ns: int | None = None
    seeks: Grown = field(default_factory=Grown)
    speed_changes: Grown = field(default_factory=Grown)
    mode_seconds: GrownMap = field(default_factory=GrownMap)
    received: Grown = field(default_factory=Grown)
    sent: Grown = field(default_factory=Grown)
    lost: Grown = field(default_factory=Grown)
    refused: GrownMap = field(default_factory=GrownMap)
    copies_by_path: GrownMap = field(default_factory=GrownMap)
    lost_by_path: GrownMap = field(default_factory=GrownMap)
    requests: GrownMap = field(default_factory=GrownMap)
    cloud_lost: bool = False  # its newest word on the control plane

    def take_drift(self, sample: DriftSample, now_s: float) -> None:
        """One step of the corrector, arrived at ``now_s``."""
        repeated = self.last is not None and self.last.at_own_ns == sample.at_own_ns
        self.last, self.last_s = sample, now_s
        if repeated:  # the bus says a state again now and then: no new reading of the player
            return
        self.seeks.see(sample.seeks)
        self.speed_changes.see(sample.speed_changes)
        self.mode_seconds.see(sample.mode_seconds)
        if not self.session_id or sample.session_id != self.session_id:
            return
        if sample.start_error_ns is not None:
            self.start_error_ns = sample.start_error_ns
        if now_s < self.start_s + SETTLE_S:
            return
        if sample.drift_ns is None:
            self.unknown += 1
        else:
            self.drifts.add(sample.drift_ns)

    def take_link(self, stats: LinkStats) -> None:
        """Counters of the beacon process."""
        self.link = stats
        self.sent.see(stats.sent)
        self.received.see(stats.received)
        self.lost.see(stats.lost)
        self.refused.see(stats.refused)
        self.copies_by_path.see(stats.copies_by_path)
        self.lost_by_path.see(stats.lost_by_path)

    @property
    def path(self) -> str:
        """The path whose beacons come first lately; "" on the master and in silence."""
        return self.link.path if self.link else ""

    def take_cloud(self, stats: CloudStats) -> None:
        """Counters of the cloud-bridge."""
        self.requests.see(stats.requests)
        self.cloud_lost = not stats.connected

    def summary(self) -> DriftSummary:
        """Statistics of the drift so far."""
        return self.drifts.summary()

    def within_50ms_ratio(self) -> float | None:
        """Share of all samples within 50 ms; a sample without a drift is not within."""
        samples = self.drifts.count + self.unknown
        return self.drifts.within / samples if samples else None

    def now(self, now_s: float) -> DriftSample | None:
        """The newest sample, None when it is too old to speak of now."""
        return self.last if now_s - self.last_s <= FRESH_S else None

    def mode(self, now_s: float) -> Mode | None:
        """Where its timing comes from now; None when it is silent."""
        sample = self.now(now_s)
        return sample.mode if sample else None
