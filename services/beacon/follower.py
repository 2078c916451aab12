"""A follower's part: hears the beat, judges it, probes the master's clock."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Final

from services.beacon.asking import Asker
from services.beacon.hearing import Ear
from services.beacon.learning import MasterClock
from services.beacon.origin import View, as_followed, is_better, same_timeline
from services.beacon.parts import Job, PathTallies
from services.beacon.ways import beacon_endpoints, probe_endpoints, tell_unusable
from unisono.bus.topics import Timing
from unisono.core.clockmap import ClockMap
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.session import Role
from unisono.core.timeline import Timeline
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.lan.paths import Batch, Frame
from unisono.runtime import repeat
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
# The clock map is kept for a restart of this process so often.
KEEP_EVERY_S: Final = 10.0

_log = logging.getLogger("unisono.beacon")


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, in which term."""

    term: int
    device_id: str


class Follower:
    """Follows one session, from master to master; opened once, closed once."""

    role = Role.FOLLOWER

    def __init__(self, job: Job, *, leader: Leader, view: View | None) -> None:
        spec = job.spec
        self._job = job
        self._counters = job.counters
        self._clock = job.clock
        self.leader = leader
        self._view = as_followed(view) if view is not None else None
        self._view_is_current = False
        self._keys = KeyRing(bytes.fromhex(spec.secret_hex), spec.session_id, leader.term)
        self._judge = BeaconJudge(spec.playlist.length_ns, leader.term)
        self._fingerprint = playlist_fingerprint(spec.playlist)
        self._members = {m.device_id for m in spec.members}
        self._beacon_places = beacon_endpoints(spec, besides=job.device_id)
        self._gap_ns = max(GAP_MIN_NS, round(GAP_PERIODS * NS_PER_S / job.flags.lan_beacon_hz))
        self._learnt = MasterClock(job.clock, job.memory)
        self._ear = Ear((), rate_hz=job.flags.lan_beacon_hz, clock=job.clock)
        self._asker = Asker(
            job.ways,
            self._keys,
            job.device_id,
            where=probe_endpoints(spec, besides=job.device_id),
            counters=job.counters,
            clock=job.clock,
            on_sample=self._take_probe,
            clock_map=self.clock_map,
        )
        self._asker.follow(leader.device_id, leader.term)
        self._tasks: list[asyncio.Task[None]] = []
        self._timeline: Timeline | None = None
        self._heard_ns: OwnNs | None = None
        self._steady_ns: OwnNs | None = None
        self._path = ""
        self._closed = False

    @property
    def term(self) -> int:
        """The highest term heard of."""
        return self.leader.term

    async def open(self) -> None:
        """Start listening and probing; may raise `LanError`."""
        job, leader = self._job, self.leader
        await self._learnt.load()
        tell_unusable(job.spec)
        subscribers = job.ways.subscribers(
            job.flags, job.spec, self._keys, leader.device_id, leader.term
        )
        self._ear = Ear(subscribers, rate_hz=job.flags.lan_beacon_hz, clock=self._clock)
        await self._ear.open(self._take_batch)
        self._asker.open()
        self._tasks = [job.spawn(self._asker.run()), job.spawn(repeat(KEEP_EVERY_S, self._keep))]
        _log.info("following %s in term %d", leader.device_id, leader.term)

    async def close(self, *, ended: bool = False) -> None:
        """Stop listening and probing; ``ended``: what was learnt is of no further use."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not ended:
            await self._keep()
        await self._ear.close()
        self._asker.close()

    def renew(self) -> None:
        """The LAN has changed under this device: set everything up again."""
        self._ear.renew()
        self._asker.renew()

    def tallies(self) -> PathTallies:
        """What was counted by path."""
        ear = self._ear
        return PathTallies(Counter(ear.copies), Counter(ear.lost), Counter(ear.restarts))

    def view(self) -> View | None:
        """What this device plays by: of the present master, or of the last one that was known."""
        now_ns = self._clock.own_ns()
        clock_map = self.clock_map()
        if clock_map is not None and self._timeline is not None:
            known_for_ns = now_ns - self._learnt.met_ns
            if self._view_is_current or is_better(
                clock_map, self._view, known_for_ns=known_for_ns, now_ns=now_ns
            ):
                self._view = View(self._job.spec.session_id, self._timeline, clock_map)
                self._view_is_current = True
        return self._view

    def clock_map(self) -> ClockMap | None:
        """The present master's clock, as far as it is known."""
        return self._learnt.map()

    @property
    def min_rtt_ns(self) -> int | None:
        """The lowest round trip to the present master."""
        return self._learnt.min_rtt_ns

    @property
    def path(self) -> str:
        """The path whose copy came first lately; "" while no beacon comes."""
        return "" if self._is_silent() else self._path

    def timing(self) -> Timing:
        """What the other processes of this device are told."""
        view = self.view()
        return Timing(
            session_id=self._job.spec.session_id,
            term=self.leader.term,
            role=Role.FOLLOWER,
            clock_map=view.clock_map if view is not None else None,
            timeline=view.timeline if view is not None else None,
            beacon_own_ns=self._heard_ns,
            stable_since_own_ns=None if self._is_silent() else self._steady_ns,
            path=self._path,
        )

    def _is_silent(self) -> bool:
        return self._heard_ns is None or self._clock.own_ns() - self._heard_ns > self._gap_ns

    def _take_batch(self, batch: Batch) -> None:
        """Judge what came, oldest first; the newest that counts is a sample of the clock."""
        if self._closed:  # one path may still deliver while another is being closed
            return
        newest: BeaconSample | None = None
        for frame in batch.frames:
            try:
                beacon = self._take(frame, batch.path)
            except Refused as refused:
                self._counters.refuse(refused, f"{batch.path} from {frame.sender}")
                continue
            if beacon is not None:
                newest = BeaconSample(beacon.sent_ns, frame.received_ns)
        if newest is not None:
            self._learnt.add_beacon(newest)
            self._tell_first_view()
        self._ear.reconsider()

    def _take(self, frame: Frame, path: str) -> Beacon | None:
        """The beacon, if it counts; None for a second copy by another path; else `Refused`."""
        beacon = open_beacon(frame.data, self._keys)
        self._check(beacon)
        verdict = self._judge.judge(beacon, frame.received_ns)
        if verdict.refused is not None:
            second = verdict.refused is Reason.DUPLICATE
            if second and self._ear.heard(path, beacon.seq, frame.received_ns):
                return None  # two paths, one beat: as it should be
            raise Refused(verdict.refused, f"term {beacon.term}, seq {beacon.seq}")
        self._counters.received += 1
        self._counters.received_by_path[path] += 1
        self._counters.lost += verdict.lost
        leader = Leader(beacon.term, beacon.master_device_id)
        if new_leader := leader != self.leader:
            _log.info("term %d: %s leads now", leader.term, leader.device_id)
            self._follow(leader)
        moved = verdict.new_clock
        if self._learnt.meet(beacon.clock_id, beacon.master_device_id, moved=moved):
            _log.info("the clock of %s is another one", beacon.master_device_id)
            self._begin()
        self._ear.heard(path, beacon.seq, frame.received_ns)
        self._asker.heard_from(frame.sender)
        self._hear(beacon, frame.received_ns, path)
        if new_leader:
            self._job.on_change()
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

    def _follow(self, leader: Leader) -> None:
        """Another term; whether its clock is another one too, its beacons say."""
        self.leader = leader
        self._keys.lowest_term = leader.term
        self._ear.follow(self._beacon_places.get(leader.device_id), leader.term)
        self._asker.follow(leader.device_id, leader.term)

    def _begin(self) -> None:
        """Another clock: ask for it, and play by what was known until it is."""
        self._asker.begin()
        self._view_is_current = False
        self._timeline = self._steady_ns = None

    def _hear(self, beacon: Beacon, at_ns: OwnNs, path: str) -> None:
        """Learn the phase from a beacon that counts."""
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
        self._path = path
        told = Timeline(origin_of(beacon), self._job.spec.playlist.length_ns, beacon.speed)
        changed = (timeline := same_timeline(self._timeline, told)) is not self._timeline
        self._timeline = timeline
        if changed and self._view_is_current and beacon.state is BeaconState.PLAYING:
            self._job.on_change()

    def _take_probe(self, sample: ProbeSample) -> None:
        read_ns, sent_ns, rtt_ns = sample.master_received_ns, sample.own_sent_ns, sample.rtt_ns
        self._judge.witness(read_ns, sent_ns, rtt_ns=rtt_ns)
        if self._judge.is_other_clock(read_ns, sent_ns, doubt_ns=abs(rtt_ns)):
            # The timeline is on the clock of the beacons that count: one must not move alone.
            self._counters.refuse(Refused(Reason.CLOCK_JUMP), f"probe of {self.leader.device_id}")
            return
        self._learnt.add_probe(sample)
        self._tell_first_view()

    def _tell_first_view(self) -> None:
        """Once the present master's clock is known, the others hear of it at once."""
        if not self._view_is_current:
            self.view()
            if self._view_is_current:
                self._job.on_change()

    async def _keep(self) -> None:
        """Keep the clock map: a process started anew need not learn it again."""
        if not self._is_silent():
            leader = self.leader
            await self._learnt.keep(self._job.spec.session_id, leader.term, leader.device_id)
