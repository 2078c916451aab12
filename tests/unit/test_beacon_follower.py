"""The follower's part: what it makes of beacons and probes that do not go together."""

import asyncio
from typing import cast

from services.beacon.counters import Counters
from services.beacon.follower import Follower, Leader
from services.beacon.hearing import Ear
from services.beacon.memory import Memory
from services.beacon.parts import Job
from services.beacon.ways import Ways
from tests.support.beacon_process import PLAYLIST, SECRET_HEX, make_spec
from unisono.bus.topics import Timing
from unisono.config import load_flags
from unisono.core.samples import ProbeSample
from unisono.core.session import Member
from unisono.core.units import NS_PER_MS, NS_PER_S, MasterNs, OwnNs, WallNs
from unisono.lan.memory import MULTICAST_PATH, MemoryMulticastSubscriber, MemoryNetwork
from unisono.lan.paths import Batch, Frame, Multicast
from unisono.state.local import memory_local_state
from unisono.wire import Beacon, BeaconState, derive_key, encode_beacon, playlist_fingerprint

APART_NS = 7_000 * NS_PER_S  # the master's clock is ahead by so much
PERIOD_NS = 50 * NS_PER_MS


class HandClock:
    """A clock that stands where it was put."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_S

    def own_ns(self) -> OwnNs:
        return OwnNs(self.now_ns)

    def wall_ns(self) -> WallNs:
        return WallNs(self.now_ns)


class Stage:
    """A follower that is handed what a master would send."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.clock, self.counters = HandClock(), Counters()
        self.clock_id = b"\1" * 8
        self.apart_ns, self.seq, self.term = APART_NS, 10_000_000, 1
        members = [Member("dev-a", "10.0.0.1", 1, 2), Member("dev-b", "10.0.0.2", 1, 2)]
        self.spec = make_spec(members, start_at_ms=1_000)
        self.memory = Memory(memory_local_state())
        self.follower = self.make_follower(tasks)

    def make_follower(self, tasks: asyncio.TaskGroup) -> Follower:
        """A follower on a LAN in memory, never opened; its memory is the stage's."""
        job = Job(
            spec=self.spec,
            device_id="dev-b",
            flags=load_flags({}),
            ways=cast(Ways, None),  # never opened
            memory=self.memory,
            clock=self.clock,
            counters=self.counters,
            spawn=tasks.create_task,
            on_change=lambda: None,
        )
        follower = Follower(job, leader=Leader(1, "dev-a"), view=None)
        where = Multicast("10.0.0.2", "239.1.2.3", 3)
        subscriber = MemoryMulticastSubscriber(MemoryNetwork(), lambda: where)
        follower._ear = Ear([subscriber], rate_hz=20, clock=self.clock)
        return follower

    def play(self, beats: int, *, probing: bool = True) -> Timing:
        """Beacons, and a probe every fourth of them; returns the timing at the end."""
        for number in range(beats):
            self.clock.now_ns += PERIOD_NS
            self.seq += 1
            now_ns = self.clock.now_ns
            master_ns = now_ns + self.apart_ns
            beacon = Beacon(
                session_id="session-1",
                term=self.term,
                master_device_id="dev-a",
                clock_id=self.clock_id,
                seq=self.seq,
                sent_ns=MasterNs(master_ns - NS_PER_MS),
                phase_ns=(master_ns - NS_PER_MS) % PLAYLIST.length_ns,
                speed=1.0,
                state=BeaconState.PLAYING,
                playlist=playlist_fingerprint(PLAYLIST),
            )
            key = derive_key(bytes.fromhex(SECRET_HEX), "session-1", self.term)
            frame = encode_beacon(beacon, key)
            self.follower._take_batch(
                Batch((Frame(frame, "10.0.0.1", OwnNs(now_ns)),), MULTICAST_PATH)
            )
            if probing and number % 4 == 0:
                self.follower._take_probe(
                    ProbeSample(
                        OwnNs(now_ns - 2 * NS_PER_MS),
                        MasterNs(master_ns - NS_PER_MS),
                        MasterNs(master_ns - NS_PER_MS),
                        OwnNs(now_ns),
                    )
                )
        return self.follower.timing()


def test_a_master_that_came_back_without_its_numbers_moves_nothing_until_the_next_term() -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(tasks)
            before = stage.play(100)
            assert before.timeline is not None
            assert before.clock_map is not None
            # Its clock began again, and its numbers with it.
            stage.apart_ns -= 5_000 * NS_PER_S
            stage.clock_id = b"\2" * 8
            stage.seq = 1
            after = stage.play(100)
            assert after.timeline == before.timeline
            assert after.clock_map is not None
            master_ns = after.clock_map.to_master(stage.clock.own_ns())
            assert abs(master_ns - stage.clock.now_ns - APART_NS) < 20 * NS_PER_MS
            assert after.stable_since_own_ns is None
            assert {"late", "clock_jump"} <= set(stage.counters.refused)
            assert stage.follower.path == ""
            stage.term = 2
            told = stage.play(100)
            assert told.clock_map is not None
            assert told.timeline is not None
            now_ns = stage.clock.own_ns()
            assert told.clock_map.to_master(now_ns) - now_ns < APART_NS - 4_000 * NS_PER_S
            due_ns = (now_ns + stage.apart_ns) % PLAYLIST.length_ns
            phase_ns = told.timeline.phase_ns(told.clock_map.to_master(now_ns))
            assert abs(phase_ns - due_ns) < 5 * NS_PER_MS

    asyncio.run(run())


def test_a_master_whose_device_was_started_again_is_followed_at_once_if_its_numbers_rise() -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(tasks)
            stage.play(100)
            stage.apart_ns -= 5_000 * NS_PER_S
            stage.clock_id = b"\2" * 8
            told = stage.play(4)
            assert told.clock_map is not None
            now_ns = stage.clock.own_ns()
            assert abs(told.clock_map.to_master(now_ns) - now_ns - stage.apart_ns) < NS_PER_S
            assert not stage.counters.refused

    asyncio.run(run())


def test_a_process_started_again_knows_the_clock_with_the_first_beacon() -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(tasks)
            stage.play(200)
            await stage.follower._keep()
            follower = stage.make_follower(tasks)
            await follower._learnt.load()
            stage.follower = follower
            told = stage.play(1, probing=False)
            assert told.clock_map is not None
            assert told.clock_map.skew_bound_ppb < 500_000, "what was learnt of the skew is kept"
            other = stage.make_follower(tasks)
            await other._learnt.load()
            stage.follower, stage.clock_id = other, b"\3" * 8
            told = stage.play(1, probing=False)
            assert told.clock_map is not None
            assert told.clock_map.skew_bound_ppb > 1_000_000, "of another clock nothing is"

    asyncio.run(run())
