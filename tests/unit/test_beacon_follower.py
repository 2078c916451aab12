"""The follower's part: what it makes of beacons and probes that do not go together."""

import asyncio
from typing import cast

from services.beacon.counters import Counters
from services.beacon.follower import Follower, Leader
from services.beacon.ways import Ways
from tests.support.beacon_process import PLAYLIST, SECRET_HEX, make_spec
from unisono.bus.topics import Timing
from unisono.config import load_flags
from unisono.core.estimator import ProbeSample
from unisono.core.session import Member
from unisono.core.units import NS_PER_MS, NS_PER_S, MasterNs, OwnNs, WallNs
from unisono.lan.paths import Batch
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
        self.apart_ns, self.seq, self.term = APART_NS, 10_000_000, 1
        members = [Member("dev-a", "10.0.0.1", 1, 2), Member("dev-b", "10.0.0.2", 1, 2)]
        self.follower = Follower(
            make_spec(members, start_at_ms=1_000),
            "dev-b",
            leader=Leader(1, "dev-a"),
            ways=cast(Ways, None),  # never opened
            flags=load_flags({}),
            counters=self.counters,
            clock=self.clock,
            view=None,
            spawn=tasks.create_task,
            on_change=lambda: None,
        )

    def play(self, beats: int) -> Timing:
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
                seq=self.seq,
                sent_ns=MasterNs(master_ns - NS_PER_MS),
                phase_ns=(master_ns - NS_PER_MS) % PLAYLIST.length_ns,
                speed=1.0,
                state=BeaconState.PLAYING,
                playlist=playlist_fingerprint(PLAYLIST),
            )
            key = derive_key(bytes.fromhex(SECRET_HEX), "session-1", self.term)
            frame = encode_beacon(beacon, key)
            self.follower._take_batch(Batch((frame,), OwnNs(now_ns), "tcp"))
            if number % 4 == 0:
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
            stage.apart_ns -= 5_000 * NS_PER_S  # its clock began again, and its numbers with it
            stage.seq = 1
            after = stage.play(100)
            assert after.timeline == before.timeline
            assert after.clock_map is not None
            master_ns = after.clock_map.to_master(stage.clock.own_ns())
            assert abs(master_ns - stage.clock.now_ns - APART_NS) < 20 * NS_PER_MS
            assert after.stable_since_own_ns is None
            assert {"late", "clock_jump"} <= set(stage.counters.refused)
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
