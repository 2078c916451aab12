"""What every player must do, checked on real mpv, on the simulated process, and in memory."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from unisono.core.playerstate import PlayerSample, PlayerState
from unisono.core.timeline import MediaItem, Playlist, wrap_error_ns
from unisono.core.units import NS_PER_MS, NS_PER_S
from unisono.player.launch import mpv_command
from unisono.player.mpv import MpvPlayer
from unisono.player.protocol import (
    EventKind,
    MediaError,
    Player,
    PlayerEvent,
    PlayerGone,
    fingerprint_of,
)
from unisono.player.simulated import SimulatedPlayer
from unisono.player.testfilm import make_test_film

LENGTH_NS = 3 * NS_PER_S
FRAME_NS = NS_PER_S // 30
# Wide: the machine may be busy; what is measured on a quiet one is in docs/decisions.
CLOCK_TOLERANCE_NS = 40 * NS_PER_MS
PATIENCE_S = 10
KINDS = ("mpv", "sim-process", "in-memory")
# The simulated ones do not look into a film: one film is enough for them.
KINDS_AND_FILMS = [
    ("mpv", "tone.mp4"),
    ("mpv", "silent.mp4"),
    ("mpv", "sound only.m4a"),
    ("sim-process", "silent.mp4"),
    ("in-memory", "silent.mp4"),
]


class ProcessRig:
    """A player that is a process of its own, and clients for it."""

    def __init__(self, command: Callable[[Path], list[str]], directory: Path) -> None:
        self.socket = directory / "mpv.sock"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command(self.socket))

    def client(self) -> Player:
        return MpvPlayer(self.socket, reply_timeout_s=1.0)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)  # all of its threads

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class MemoryRig:
    """The in-memory player; its one object is every client."""

    def __init__(self) -> None:
        self.player = SimulatedPlayer()
        self._begun = False

    def start(self) -> None:
        if self._begun:
            self.player.recover()
        self._begun = True

    def client(self) -> Player:
        return self.player

    def kill(self) -> None:
        self.player.break_off()

    def freeze(self) -> None:
        self.player.break_off(EventKind.HUNG)

    def thaw(self) -> None:
        self.player.recover()


Rig = ProcessRig | MemoryRig


def sim_command(socket: Path) -> list[str]:
    return [sys.executable, "-m", "unisono.player.sim_server", "--socket", str(socket)]


@pytest.fixture(scope="module")
def films() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for film, picture, sound in (
            ("tone.mp4", True, True),
            ("silent.mp4", True, False),
            ("sound only.m4a", False, True),
        ):
            target = directory / film
            made_ns = make_test_film(target, seconds=3, size="160x90", picture=picture, sound=sound)
            assert made_ns == LENGTH_NS
        yield directory


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="player-") as name:
        made: Rig
        if request.param == "in-memory":
            made = MemoryRig()
        else:
            command = mpv_command if request.param == "mpv" else sim_command
            made = ProcessRig(command, Path(name))
        made.start()
        yield made
        if isinstance(made, ProcessRig):
            made.kill()


@asynccontextmanager
async def connected(rig: Rig) -> AsyncIterator[tuple[Player, AsyncIterator[PlayerEvent]]]:
    player = rig.client()
    await player.open()
    events = player.events()
    try:
        assert (await next_event(events)).kind is EventKind.CONNECTED
        yield player, events
    finally:
        await player.close()


async def next_event(events: AsyncIterator[PlayerEvent]) -> PlayerEvent:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(events)


async def until(player: Player, wanted: Callable[[PlayerSample], bool]) -> PlayerSample:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            sample = await player.sample()
            if wanted(sample):
                return sample
            await asyncio.sleep(0.02)


def running(sample: PlayerSample) -> bool:
    return sample.state is PlayerState.PLAYING and sample.phase_ns is not None


def phase(sample: PlayerSample) -> int:
    assert sample.phase_ns is not None
    return sample.phase_ns


def playlist(directory: Path, *names: str, length_ns: int = LENGTH_NS) -> Playlist:
    return Playlist(tuple(MediaItem(str(directory / name), length_ns) for name in names))


def slip_ns(first: PlayerSample, later: PlayerSample, length_ns: int) -> int:
    """How far the player's clock left the straight line of the own clock."""
    elapsed_ns = later.at_own_ns - first.at_own_ns
    return wrap_error_ns(phase(later) - phase(first) - elapsed_ns, length_ns)


async def follow(player: Player, first: PlayerSample, for_ns: int, length_ns: int) -> int:
    """Sample for ``for_ns`` of the player's own time; the largest slip on the way."""
    worst_ns = 0
    later = first
    while later.at_own_ns - first.at_own_ns < for_ns:
        later = await until(player, running)
        worst_ns = max(worst_ns, abs(slip_ns(first, later, length_ns)))
        await asyncio.sleep(0.02)
    return worst_ns


@pytest.mark.parametrize(("rig", "film"), KINDS_AND_FILMS, indirect=["rig"])
async def test_a_film_is_cued_starts_where_cued_and_loops_without_a_seam(
    rig: Rig, films: Path, film: str
) -> None:
    shown = playlist(films, film)
    async with connected(rig) as (player, _):
        await player.load(shown, 5 * NS_PER_S // 2)
        cued = await player.sample()
        assert cued.state is PlayerState.CUED
        assert phase(cued) == pytest.approx(5 * NS_PER_S // 2, abs=NS_PER_MS)
        still = await player.sample()
        assert phase(still) == phase(cued)
        before_ns = cued.at_own_ns
        await player.play()
        first = await until(player, running)
        assert phase(first) - phase(cued) <= first.at_own_ns - before_ns + CLOCK_TOLERANCE_NS
        worst_ns = await follow(player, first, NS_PER_S, LENGTH_NS)
        assert worst_ns < CLOCK_TOLERANCE_NS
        assert phase(await player.sample()) < 2 * NS_PER_S  # it went through the loop


async def test_a_playlist_of_sound_and_silence_is_one_timeline(rig: Rig, films: Path) -> None:
    shown = playlist(films, "tone.mp4", "silent.mp4", length_ns=NS_PER_S)
    async with connected(rig) as (player, _):
        await player.load(shown, NS_PER_S * 4 // 5)
        await player.play()
        first = await until(player, running)  # then over both cuts: sound, silence, sound
        worst_ns = await follow(player, first, NS_PER_S * 7 // 5, shown.length_ns)
        assert worst_ns < CLOCK_TOLERANCE_NS


async def test_speed_changes_the_slope_after_its_delay(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, _):
        await player.load(playlist(films, "tone.mp4"))
        await player.play()
        await until(player, running)
        await player.set_speed(1.05)
        assert (await player.sample()).speed == 1.05
        await asyncio.sleep(0.25)
        first = await until(player, running)
        later = await until(player, lambda s: s.at_own_ns > first.at_own_ns + NS_PER_S // 2)
        gained_ns = slip_ns(first, later, LENGTH_NS)
        assert gained_ns / (later.at_own_ns - first.at_own_ns) == pytest.approx(0.05, abs=0.02)


async def test_pause_holds_and_stop_unloads(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, _):
        await player.load(playlist(films, "tone.mp4"))
        await player.play()
        await until(player, lambda s: running(s) and phase(s) > 0)
        await player.pause()
        held = await until(player, lambda s: s.state is PlayerState.CUED)
        assert phase(await player.sample()) == pytest.approx(phase(held), abs=NS_PER_MS)
        await player.stop()
        idle = await player.sample()
        assert (idle.state, idle.phase_ns) == (PlayerState.IDLE, None)
        assert player.holds == ""
        assert player.version.startswith(("mpv ", "unisono-sim-player"))


async def test_a_seek_lands_and_its_cost_is_known(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, _):
        await player.load(playlist(films, "tone.mp4"))
        await player.seek(NS_PER_S)
        cued = await until(player, lambda s: s.state is PlayerState.CUED)
        assert phase(cued) == pytest.approx(NS_PER_S, abs=FRAME_NS)
        await player.play()
        await until(player, running)
        before = await player.sample()
        await player.seek(2 * NS_PER_S)
        assert (await player.sample()).state is PlayerState.SEEKING
        landed = await until(player, running)
        due_ns = 2 * NS_PER_S + landed.at_own_ns - before.at_own_ns
        assert due_ns - NS_PER_S < phase(landed) <= due_ns
        assert 0 < player.traits().seek_cost_ns < NS_PER_S


async def test_a_new_client_takes_a_running_picture_over(rig: Rig, films: Path) -> None:
    shown = playlist(films, "silent.mp4")
    async with connected(rig) as (player, _):
        assert player.holds == ""
        await player.load(shown)
        await player.play()
        first = await until(player, running)
    async with connected(rig) as (player, _):
        assert player.holds == fingerprint_of(shown)
        await player.load(shown, 0)
        after = await player.sample()
        assert after.state is PlayerState.PLAYING
        assert abs(slip_ns(first, after, LENGTH_NS)) < CLOCK_TOLERANCE_NS


@asynccontextmanager
async def gate(behind: Path, at: Path) -> AsyncIterator[asyncio.Queue[asyncio.Event]]:
    """A socket that lets each request through to ``behind`` only when its event is set."""
    requests: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_player, to_player = await asyncio.open_unix_connection(str(behind))

        async def answers() -> None:
            while data := await from_player.read(1 << 16):
                writer.write(data)

        back = asyncio.create_task(answers())
        while line := await reader.readline():
            passed = asyncio.Event()
            requests.put_nowait(passed)
            await passed.wait()
            to_player.write(line)
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        for end in (writer, to_player):
            end.close()
            await end.wait_closed()
        left.set()

    server = await asyncio.start_unix_server(serve, str(at))
    try:
        yield requests
        await left.wait()
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("rig", ["mpv", "sim-process"], indirect=True)
async def test_a_player_is_not_touched_before_it_is_known(
    rig: Rig, films: Path, tmp_path: Path
) -> None:
    """A picture that already runs must never look idle to whoever connects: it would be paused."""
    assert isinstance(rig, ProcessRig)
    shown = playlist(films, "silent.mp4")
    async with connected(rig) as (player, _):
        await player.load(shown)
        await player.play()
        assert player.holds == fingerprint_of(shown)
    async with asyncio.timeout(PATIENCE_S), gate(rig.socket, tmp_path / "gate.sock") as requests:
        player = MpvPlayer(tmp_path / "gate.sock")
        await player.open()
        events = asyncio.ensure_future(anext(player.events()))
        asked = 0
        while not events.done():
            held = asyncio.ensure_future(requests.get())
            await asyncio.wait({events, held}, return_when=asyncio.FIRST_COMPLETED)
            if not held.done():
                held.cancel()
                break
            for action in (player.sample, player.pause, player.play, player.stop):
                with pytest.raises(PlayerGone):
                    await action()
            assert player.holds == ""
            asked += 1
            held.result().set()
        assert asked > 5
        assert (await events).kind is EventKind.CONNECTED
        assert player.holds == fingerprint_of(shown)  # at once, without another exchange
        assert requests.empty()
        asyncio.ensure_future(requests.get()).add_done_callback(lambda got: got.result().set())
        assert (await player.sample()).state is PlayerState.PLAYING
        await player.close()
        assert player.holds == ""


async def test_what_a_player_holds_follows_what_happens_to_it(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, events):
        assert player.holds == ""
        for names in (("tone.mp4",), ("tone.mp4", "silent.mp4")):
            await player.load(playlist(films, *names))
            assert player.holds == fingerprint_of(playlist(films, *names))
        await player.stop()
        assert player.holds == ""
        await player.load(playlist(films, "tone.mp4"))
        rig.kill()
        assert (await next_event(events)).kind is EventKind.DISCONNECTED
        assert player.holds == ""


@pytest.mark.parametrize("rig", ["mpv", "sim-process"], indirect=True)
async def test_a_film_that_somebody_else_loads_is_not_ours(rig: Rig, films: Path) -> None:
    assert isinstance(rig, ProcessRig)
    async with connected(rig) as (player, _):
        await player.load(playlist(films, "tone.mp4"))
        _reader, writer = await asyncio.open_unix_connection(str(rig.socket))
        foreign = {"command": ["loadfile", str(films / "silent.mp4")]}
        writer.write(json.dumps(foreign).encode() + b"\n")
        await until(player, lambda sample: sample.state is PlayerState.IDLE)
        assert player.holds == ""
        writer.close()
        await writer.wait_closed()


async def test_a_missing_film_is_named_and_leaves_a_usable_player(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, _):
        with pytest.raises(MediaError, match=r"nowhere\.mp4: no such file"):
            await player.load(playlist(films, "tone.mp4", "nowhere.mp4"))
        await player.load(playlist(films, "tone.mp4"))
        assert (await player.sample()).state is PlayerState.CUED


async def test_a_killed_player_is_an_event_and_a_new_one_is_found(rig: Rig, films: Path) -> None:
    async with connected(rig) as (player, events):
        await player.load(playlist(films, "tone.mp4"))
        rig.kill()
        assert (await next_event(events)).kind is EventKind.DISCONNECTED
        with pytest.raises(PlayerGone):
            await player.sample()
        with pytest.raises(PlayerGone):
            await player.load(playlist(films, "tone.mp4"))
        rig.start()
        assert (await next_event(events)).kind is EventKind.CONNECTED
        assert player.holds == ""
        await player.load(playlist(films, "tone.mp4"))
        assert (await player.sample()).state is PlayerState.CUED


async def test_a_hung_player_is_dropped_and_found_again(rig: Rig, films: Path) -> None:
    shown = playlist(films, "tone.mp4")
    async with connected(rig) as (player, events):
        await player.load(shown)
        rig.freeze()
        with pytest.raises(PlayerGone):
            await player.sample()
        assert (await next_event(events)).kind is EventKind.HUNG
        with pytest.raises(PlayerGone):
            await player.play()
        rig.thaw()
        assert (await next_event(events)).kind is EventKind.CONNECTED
        assert player.holds == fingerprint_of(shown)


async def test_events_end_at_close(rig: Rig) -> None:
    async with connected(rig) as (player, events):
        await player.close()
        assert [event async for event in events] == []
        with pytest.raises(PlayerGone):
            await player.sample()


@pytest.mark.parametrize("command", [mpv_command, sim_command], ids=["mpv", "sim-process"])
async def test_any_program_can_read_the_clock(
    command: Callable[[Path], list[str]], films: Path, tmp_path: Path
) -> None:
    rig = ProcessRig(command, tmp_path)
    rig.start()
    try:
        async with connected(rig) as (player, _):
            await player.load(playlist(films, "silent.mp4"), NS_PER_S)
            await player.play()
            await until(player, running)
            reader, writer = await asyncio.open_unix_connection(str(rig.socket))
            for number, name in enumerate(("audio-pts", "time-pos"), start=1):
                ask = {"command": ["get_property", name], "request_id": number}
                writer.write(json.dumps(ask).encode() + b"\n")
                answer = json.loads(await reader.readline())
                while answer.get("request_id") != number:
                    answer = json.loads(await reader.readline())
                assert answer["data"] == pytest.approx(1.5, abs=0.6)
            writer.close()
            await writer.wait_closed()
    finally:
        rig.kill()


async def test_mpv_says_which_file_is_no_film(films: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a film")
    rig = ProcessRig(mpv_command, tmp_path)
    rig.start()
    try:
        async with connected(rig) as (player, _):
            shown = Playlist((MediaItem(str(text), LENGTH_NS),))
            with pytest.raises(MediaError, match=r"notes\.mp4: the player cannot play it"):
                await player.load(shown)
            assert (await player.sample()).state is PlayerState.IDLE
    finally:
        rig.kill()


async def test_mpv_without_sound_still_has_a_clock(films: Path, tmp_path: Path) -> None:
    """The sound card is gone: changes of the frame time are extrapolated instead."""

    def deaf(socket: Path) -> list[str]:
        return mpv_command(socket, extra=["--ao=alsa", "--audio-device=alsa/no-such-card"])

    rig = ProcessRig(deaf, tmp_path)
    rig.start()
    try:
        async with connected(rig) as (player, _):
            await player.load(playlist(films, "tone.mp4"))
            await player.play()
            first = await until(player, running)
            worst_ns = await follow(player, first, NS_PER_S, LENGTH_NS)
            assert worst_ns < 2 * CLOCK_TOLERANCE_NS
    finally:
        rig.kill()


async def test_a_client_waits_for_a_player_that_is_not_there_yet(tmp_path: Path) -> None:
    rig = ProcessRig(sim_command, tmp_path)
    player = rig.client()
    await player.open()
    try:
        with pytest.raises(PlayerGone, match="no player"):
            await player.sample()
        rig.start()
        assert (await next_event(player.events())).kind is EventKind.CONNECTED
    finally:
        await player.close()
        rig.kill()


async def test_the_end_of_the_edit_list_is_only_a_small_seam(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisono.player.edl.SPAN_NS", 1)  # a list of one loop
    rig = ProcessRig(mpv_command, tmp_path)
    rig.start()
    try:
        async with connected(rig) as (player, events):
            await player.load(playlist(films, "silent.mp4"), LENGTH_NS * 9 // 10)
            await player.play()
            first = await until(player, running)
            after = await until(
                player, lambda s: running(s) and NS_PER_S // 5 < phase(s) < NS_PER_S
            )
            assert abs(slip_ns(first, after, LENGTH_NS)) < 5 * CLOCK_TOLERANCE_NS
            await player.close()
            assert [event async for event in events] == []
    finally:
        rig.kill()


async def test_the_simulated_process_parts_with_its_clients_in_peace(short_dir: Path) -> None:
    path = short_dir / "sim.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "unisono.player.sim_server", "--socket", str(path)),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"command": ["get_property", "pause"]}\n')
    assert b"success" in await reader.readline()
    process.terminate()
    _, complaints = await process.communicate()
    writer.close()
    await writer.wait_closed()
    assert (process.returncode, complaints) == (0, b"")
