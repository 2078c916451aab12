"""A follower's part: hears the beat, judges it, probes the master's clock."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.beacon.counters import Counters
from services.beacon.origin import View, as_followed, is_better, same_timeline
from services.beacon.pace import probe_wait_s
from services.beacon.parts import Spawn
from services.beacon.ways import Ways, probe_endpoints, tell_unusable
from unisono.bus.topics import Timing
from unisono.config import Flags
from unisono.core.clockmap import ClockMap
from unisono.core.estimator import BeaconSample, ClockEstimator, ProbeSample
from unisono.core.session import Role, SessionSpec
from unisono.core.timeline import Timeline
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs, ns_to_s
from unisono.lan.paths import Batch, BeaconSubscriber, Endpoint
from unisono.lan.probes import ProbeClient
from unisono.runtime import Clock
from unisono.wire import (
    Beacon,
    BeaconJudge,
    BeaconState,
    KeyRing,
    Reason,
    Refused,
    open_beacon,
    playlist_fingerprint,
)
from unisono.wire.judge import origin_of

# Beacons are steady while none is missing for this many periods, and for this long at least.
GAP_PERIODS: Final = 5
GAP_MIN_NS: Final = 250 * NS_PER_MS

_log = logging.getLogger("unisono.beacon")
_dice = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, in which term."""

    term: int
    device_id: str


class Follower:
    """Follows one session, from master to master; opened once, closed once."""

    role = Role.FOLLOWER

    def __init__(
        self,
        spec: SessionSpec,
        device_id: str,
        *,
        leader: Leader,
        ways: Ways,
        flags: Flags,
        counters: Counters,
        clock: Clock,
        view: View | None,
        spawn: Spawn,
        on_change: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._device_id = device_id
        self._ways = ways
        self._flags = flags
        self._counters = counters
        self._clock = clock
        self._on_change = on_change
        self.leader = leader
        self._view = as_followed(view) if view is not None else None
        self._view_is_current = False
        self._keys = KeyRing(bytes.fromhex(spec.secret_hex), spec.session_id, leader.term)
        self._judge = BeaconJudge(spec.playlist.length_ns, leader.term)
        self._fingerprint = playlist_fingerprint(spec.playlist)
        self._members = {m.device_id for m in spec.members}
        self._where_to_ask = probe_endpoints(spec, besides=device_id)
        self._gap_ns = max(GAP_MIN_NS, round(GAP_PERIODS * NS_PER_S / flags.lan_beacon_hz))
        self._estimator = ClockEstimator()
        self._subscribers: Sequence[BeaconSubscriber] = ()
        self._client: ProbeClient | None = None
        self._spawn = spawn
        self._probing: asyncio.Task[None] | None = None
        self._met_ns = clock.own_ns()
        self._answered = 0
        self._unanswered = 0
        self._timeline: Timeline | None = None
        self._heard_ns: OwnNs | None = None
        self._steady_ns: OwnNs | None = None
        self._path = ""
        self._last_seq: dict[str, int] = {}

    @property
    def term(self) -> int:
        """The highest term heard of."""
        return self.leader.term

    async def open(self) -> None:
        """Start listening and probing; may raise `LanError`."""
        self._client = ProbeClient(
            self._ways.probe_asker(),
            self._keys,
            device_id=self._device_id,
            on_sample=self._take_probe,
            on_refused=self._refuse_reply,
        )
        tell_unusable(self._spec)
        leader = self.leader
        self._subscribers = self._ways.subscribers(self._flags, self._spec, leader.device_id)
        for subscriber in self._subscribers:
            await subscriber.open(self._take_batch)
        self._probing = self._spawn(self._probe())
        _log.info("following %s in term %d", leader.device_id, leader.term)

    async def close(self, *, ended: bool = False) -> None:  # noqa: ARG002 - as the master's
        """Stop listening and probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        for subscriber in self._subscribers:
            await subscriber.close()
        if self._client is not None:
            self._client.close()

    def view(self) -> View | None:
        """What this device plays by: of the present master, or of the last one that was known."""
        now_ns = self._clock.own_ns()
        clock_map = self.clock_map()
        if clock_map is not None and self._timeline is not None:
            known_for_ns = now_ns - self._met_ns
            if self._view_is_current or is_better(
                clock_map, self._view, known_for_ns=known_for_ns, now_ns=now_ns
            ):
                self._view = View(self._spec.session_id, self._timeline, clock_map)
                self._view_is_current = True
        return self._view

    def clock_map(self) -> ClockMap | None:
        """The present master's clock, as far as it is known."""
        return self._estimator.clock_map(self._clock.own_ns())

    @property
    def min_rtt_ns(self) -> int | None:
        """The lowest round trip to the present master."""
        return self._estimator.min_rtt_ns

    def timing(self) -> Timing:
        """What the other processes of this device are told."""
        view = self.view()
        silent = self._heard_ns is None or self._clock.own_ns() - self._heard_ns > self._gap_ns
        return Timing(
            session_id=self._spec.session_id,
            term=self.leader.term,
            role=Role.FOLLOWER,
            clock_map=view.clock_map if view is not None else None,
            timeline=view.timeline if view is not None else None,
            beacon_own_ns=self._heard_ns,
            stable_since_own_ns=None if silent else self._steady_ns,
            path=self._path,
        )

    def _take_batch(self, batch: Batch) -> None:
        """Judge what came, oldest first; the newest that counts is a sample of the clock."""
        newest: Beacon | None = None
        for frame in batch.frames:
            try:
                newest = self._take(frame, batch)
            except Refused as refused:
                self._counters.refuse(refused, batch.path)
        if newest is not None:
            self._estimator.add_beacon(BeaconSample(newest.sent_ns, batch.received_ns))
            self._tell_first_view()

    def _take(self, frame: bytes, batch: Batch) -> Beacon | None:
        """The beacon, if it counts; None for a second copy by another path; else `Refused`."""
        beacon = open_beacon(frame, self._keys)
        self._counters.received_by_path[batch.path] += 1
        self._check(beacon)
        verdict = self._judge.judge(beacon, batch.received_ns)
        first_by_path = beacon.seq > self._last_seq.get(batch.path, -1)
        self._last_seq[batch.path] = beacon.seq
        if verdict.refused is not None:
            if verdict.refused is Reason.DUPLICATE and first_by_path:
                return None  # two paths, one beat: as it should be
            raise Refused(verdict.refused, f"term {beacon.term}, seq {beacon.seq}")
        self._counters.received += 1
        self._counters.lost += verdict.lost
        if verdict.new_clock:
            _log.warning("the clock of %s has begun again", beacon.master_device_id)
            self._meet(self.leader)
        leader = Leader(beacon.term, beacon.master_device_id)
        if new_leader := leader != self.leader:
            _log.info("term %d: %s leads now", leader.term, leader.device_id)
            self._meet(leader)
        self._hear(beacon, batch)
        if new_leader:
            self._on_change()
        return beacon

    def _check(self, beacon: Beacon) -> None:
        """What the session says of its beacons; a later term may name another member."""
        expected = self.leader.device_id if beacon.term == self.leader.term else None
        if beacon.master_device_id not in self._members or (
            expected is not None and beacon.master_device_id != expected
        ):
            raise Refused(Reason.WRONG_MASTER, beacon.master_device_id)
        if beacon.playlist != self._fingerprint:
            raise Refused(Reason.WRONG_PLAYLIST, f"from {beacon.master_device_id}")

    def _meet(self, leader: Leader) -> None:
        """Another master, or the same one with another clock: start to learn it."""
        same_clock = leader.device_id == self.leader.device_id and leader.term != self.leader.term
        self.leader = leader
        self._keys.lowest_term = leader.term
        if same_clock:
            return
        self._estimator.reset()
        self._met_ns = self._clock.own_ns()
        self._answered = self._unanswered = 0
        self._view_is_current = False
        self._timeline = self._steady_ns = None
        self._last_seq.clear()

    def _hear(self, beacon: Beacon, batch: Batch) -> None:
        """Learn the phase from a beacon that counts."""
        at_ns = batch.received_ns
        if beacon.state is BeaconState.STOPPED:
            self._steady_ns = None
            return
        if (
            self._heard_ns is None
            or self._steady_ns is None
            or at_ns - self._heard_ns > self._gap_ns
        ):
            self._steady_ns = at_ns
        self._heard_ns = at_ns
        self._path = batch.path
        told = Timeline(origin_of(beacon), self._spec.playlist.length_ns, beacon.speed)
        changed = (timeline := same_timeline(self._timeline, told)) is not self._timeline
        self._timeline = timeline
        if changed and self._view_is_current and beacon.state is BeaconState.PLAYING:
            self._on_change()

    def _take_probe(self, sample: ProbeSample) -> None:
        self._counters.probes_answered += 1
        self._answered += 1
        self._unanswered = 0
        sent_ns, rtt_ns = sample.own_sent_ns, sample.rtt_ns
        if self._judge.is_other_clock(sample.master_received_ns, sent_ns, doubt_ns=abs(rtt_ns)):
            # The timeline is on the clock of the beacons that count: one must not move alone.
            self._counters.refuse(Refused(Reason.CLOCK_JUMP), f"probe of {self.leader.device_id}")
            return
        self._estimator.add_probe(sample)
        self._tell_first_view()

    def _tell_first_view(self) -> None:
        """Once the present master's clock is known, the others hear of it at once."""
        if not self._view_is_current:
            self.view()
            if self._view_is_current:
                self._on_change()

    async def _probe(self) -> None:
        """Ask for the master's clock, often at first."""
        assert self._client is not None  # noqa: S101 - opened
        while True:
            leader = self.leader
            where = self._where_to_ask.get(leader.device_id)
            if where is not None and self._client.ask(where, leader.device_id, leader.term):
                self._counters.probes_sent += 1
            self._unanswered += 1
            clock_map = self.clock_map()
            wait_s = probe_wait_s(
                joined_for_s=ns_to_s(self._clock.own_ns() - self._met_ns),
                bound_ns=clock_map.bound_ns if clock_map is not None else None,
                answered=self._answered,
                unanswered=self._unanswered,
                dice=_dice.random(),
            )
            await asyncio.sleep(wait_s)

    def _refuse_reply(self, refused: Refused, sender: Endpoint) -> None:
        self._counters.refuse(refused, f"probe reply of {sender}")
