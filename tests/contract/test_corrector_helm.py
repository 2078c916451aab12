"""The corrector around a simulated player on the real clock: it cues, starts, takes over, stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.corrector.corrector import STEP_S, Corrector
from services.corrector.helm import Helm
from unisono.bus.topics import DriftSample, Timing
from unisono.config import Flags, Settings
from unisono.core.clockmap import identity
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Member, Role, SessionSpec
from unisono.core.timeline import MediaItem, Playlist, Timeline
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.player.protocol import EventKind
from unisono.player.simulated import SimulatedPlayer
from unisono.runtime import SystemClock, repeat

FLAGS = Flags(lan_enabled=True, lan_settle_ms=0)
LENGTH_NS = 60 * NS_PER_S


def session(film: Path | str, *, session_id: str = "s1", starts_in_ms: int = 700) -> SessionSpec:
    return SessionSpec(
        session_id=session_id,
        term=1,
        master_device_id="a",
        members=(Member("a", "127.0.0.1", 1, 2),),
        playlist=Playlist((MediaItem(str(film), LENGTH_NS),)),
        start_at_ms=time.time_ns() // NS_PER_MS + starts_in_ms,
        secret_hex="00" * 32,
    )


def timing(spec: SessionSpec) -> Timing:
    """What the master's beacon process says of time now."""
    now_ns = OwnNs(time.monotonic_ns())
    origin_ns = now_ns + spec.start_at_ms * NS_PER_MS - time.time_ns()
    timeline = Timeline(origin_ns, LENGTH_NS)
    return Timing(
        spec.session_id, spec.term, Role.MASTER, identity(now_ns), timeline, now_ns, now_ns, "self"
    )


class Rig:
    """One corrector, its player, and what it has said."""

    def __init__(self, player: SimulatedPlayer) -> None:
        self.samples: list[DriftSample] = []
        self.spec: SessionSpec | None = None
        self.player = player
        self.helm = Helm(player, SystemClock())
        self.corrector = Corrector(Settings(device_id="a"), FLAGS, self.helm, SystemClock())

    async def step(self) -> None:
        if self.spec is not None:
            self.corrector.hear_timing(timing(self.spec))
        self.samples.append(await self.corrector.step())

    def want(self, revision: int, spec: SessionSpec | None) -> None:
        self.spec = spec
        self.corrector.hear_desired(Desired(revision, spec))

    async def until(self, condition: object, limit_s: float = 8.0) -> DriftSample:
        async with asyncio.timeout(limit_s):
            while True:
                if self.samples and callable(condition) and condition(self.samples[-1]):
                    return self.samples[-1]
                await asyncio.sleep(0.01)


@asynccontextmanager
async def rig(player: SimulatedPlayer) -> AsyncIterator[Rig]:
    made = Rig(player)
    await player.open()
    tasks = [asyncio.create_task(made.helm.watch())]
    tasks.append(asyncio.create_task(repeat(STEP_S, made.step)))
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await made.helm.drop_job()
        await player.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"a simulated player looks no further")
    return path


def in_step(sample: DriftSample) -> bool:
    near = sample.drift_ns is not None and abs(sample.drift_ns) < 20 * NS_PER_MS
    return near and sample.mode is Mode.LAN and sample.player_state is PlayerState.PLAYING


async def test_a_session_is_cued_started_and_stopped(film: Path) -> None:
    async with rig(SimulatedPlayer()) as made:
        made.want(1, session(film))
        cued = await made.until(lambda s: s.player_state is PlayerState.CUED)
        assert (cued.drift_ns, cued.phase_ns) == (None, 0)
        started = await made.until(lambda s: in_step(s) and s.start_error_ns is not None)
        assert started.seeks == 0
        made.want(2, None)
        stopped = await made.until(lambda s: s.player_state is PlayerState.IDLE)
        assert (stopped.mode, stopped.session_id) == (Mode.STOPPED, "")


async def test_a_new_corrector_takes_the_running_picture_over(film: Path) -> None:
    player, spec = SimulatedPlayer(), session(film)
    async with rig(player) as first:
        first.want(1, spec)
        await first.until(in_step)
    before_ns = player.model.position_ns(time.monotonic_ns())
    async with rig(player) as second:
        await second.until(lambda s: s.player_state is PlayerState.PLAYING)
        await asyncio.sleep(3 * STEP_S)
        assert not player.model.paused, "nothing is known yet, so nothing is touched"
        second.want(1, spec)
        taken = await second.until(in_step)
        assert taken.seeks == 0
        assert not any(s.player_state is PlayerState.CUED for s in second.samples)
    after_ns = player.model.position_ns(time.monotonic_ns())
    assert before_ns is not None
    assert after_ns is not None
    assert after_ns > before_ns


async def test_a_player_that_went_is_put_back_in_step(film: Path) -> None:
    player = SimulatedPlayer()
    async with rig(player) as made:
        made.want(1, session(film))
        await made.until(in_step)
        player.break_off(EventKind.DISCONNECTED)
        await made.until(lambda s: s.player_state is PlayerState.ABSENT)
        player.recover()
        back = await made.until(in_step)
        assert back.session_id == "s1"


async def test_a_film_that_is_missing_is_a_sentence_and_played_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.corrector.helm.MEDIA_RETRY_S", 0.2)
    late = tmp_path / "late.mp4"
    async with rig(SimulatedPlayer()) as made:
        made.want(1, session(late))
        missing = await made.until(lambda s: bool(s.fault))
        assert str(late) in missing.fault
        late.write_bytes(b"here it is")
        playing = await made.until(lambda s: in_step(s) and not s.fault)
        assert playing.mode is Mode.LAN


async def test_a_session_that_replaces_another_is_obeyed_and_an_old_word_is_not(
    film: Path,
) -> None:
    async with rig(SimulatedPlayer()) as made:
        made.want(5, session(film))
        await made.until(in_step)
        made.want(6, session(film, session_id="s2"))
        await made.until(lambda s: s.session_id == "s2" and in_step(s))
        made.corrector.hear_desired(Desired(4, None))
        await asyncio.sleep(3 * STEP_S)
        assert made.samples[-1].session_id == "s2"
