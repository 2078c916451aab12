"""The parts of the player that need no player: edit lists, silence, states, the model."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.core.playerstate import PlayerState, PlayerTraits
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.player.edl import (
    MAX_TEXT_BYTES,
    SPAN_NS,
    Source,
    absolute_ns,
    cut_of,
    mark_of,
    read_mark,
    seconds_text,
    span_of_url,
)
from unisono.player.ipc import Ask, CommandError, Link
from unisono.player.launch import Window, mpv_command
from unisono.player.media import Sources
from unisono.player.model import Failings, PlayerModel
from unisono.player.protocol import EventKind, MediaError, PlayerEvent, PlayerGone, fingerprint_of
from unisono.player.seen import SeekCost, Seen
from unisono.player.silence import MAX_BLOCKS, silence_flac, silence_uri
from unisono.player.sim_server import main as sim_main
from unisono.player.testfilm import make_test_film, probe_duration_ns

HEARD = Source("/films/a;b=1,c.mp4", has_sound=True)
MUTE = Source("/films/mute.mp4", has_sound=False)
SOURCES = {"heard": HEARD, "mute": MUTE}


def playlist(*uris: str, length_ns: int = 60 * NS_PER_S) -> Playlist:
    return Playlist(tuple(MediaItem(uri, length_ns) for uri in uris))


class TestEdl:
    def test_a_film_with_sound_is_one_track_of_a_day(self) -> None:
        cut = cut_of(playlist("heard"), SOURCES)
        assert cut.repeats == 24 * 60
        assert cut.url.count(HEARD.address) == cut.repeats
        assert f"%{len(HEARD.address)}%{HEARD.address},start=0,length=60.000000000" in cut.url
        assert "!new_stream" not in cut.url
        assert cut.audio_track == 1

    def test_a_silent_film_gets_a_track_of_silence_as_long_as_its_picture(self) -> None:
        cut = cut_of(playlist("mute"), SOURCES)
        picture, sound = cut.url.split(";!new_stream;")
        assert picture.count(MUTE.address) == cut.repeats
        seconds = [float(part.split(";")[0]) for part in sound.split("length=")[1:]]
        assert sum(seconds) == pytest.approx(60 * cut.repeats)
        assert "asetnsamples" in cut.audio_filter

    @pytest.mark.parametrize(("uris", "track"), [(("heard", "mute"), 2), (("mute", "heard"), 1)])
    def test_a_mixed_playlist_chooses_the_composed_track(
        self, uris: tuple[str, ...], track: int
    ) -> None:
        cut = cut_of(playlist(*uris), SOURCES)
        picture, sound = cut.url.split(";!new_stream;")
        assert cut.audio_track == track
        assert HEARD.address in sound
        assert MUTE.address not in sound
        assert MUTE.address in picture

    @given(st.integers(1, 20), st.integers(NS_PER_S // 5, 3 * 3600 * NS_PER_S), st.booleans())
    def test_text_and_span_stay_within_bounds(
        self, count: int, length_ns: int, heard: bool
    ) -> None:
        shown = playlist(*(["heard" if heard else "mute"] * count), length_ns=length_ns)
        cut = cut_of(shown, SOURCES)
        assert span_of_url(cut.url) == cut.span_ns == shown.length_ns * cut.repeats
        one_loop = cut.repeats == 1
        assert one_loop or len(cut.url) <= MAX_TEXT_BYTES + 2_000
        assert one_loop or cut.span_ns < SPAN_NS + shown.length_ns

    def test_only_our_own_addresses_have_a_span(self) -> None:
        assert span_of_url("/films/a.mp4") is None

    @given(st.integers(0, 10**15))
    def test_seconds_are_exact(self, value_ns: int) -> None:
        whole, fraction = seconds_text(value_ns).split(".")
        assert int(whole) * NS_PER_S + int(fraction) == value_ns

    def test_the_mark_survives_the_player(self) -> None:
        shown = playlist("a film with spaces", "other")
        assert read_mark(mark_of(shown)) == (shown.length_ns, fingerprint_of(shown))

    @pytest.mark.parametrize("title", ["", "holiday.mp4", "unisono/1", "unisono/1 x y"])
    def test_other_titles_are_no_mark(self, title: str) -> None:
        assert read_mark(title) is None

    @given(st.integers(0, 99), st.integers(0, 1000 * 100))
    def test_a_seek_goes_to_the_nearest_loop(self, phase_ns: int, near_ns: int) -> None:
        place_ns = absolute_ns(phase_ns, near_ns=near_ns, length_ns=100, repeats=1000)
        assert place_ns % 100 == phase_ns
        assert 0 <= place_ns < 100_000
        inside = 100 <= near_ns < 99_900
        assert not inside or abs(place_ns - near_ns) <= 50


class TestSilence:
    @pytest.mark.parametrize("blocks", [1, MAX_BLOCKS])
    def test_ffmpeg_decodes_it_to_zeros_of_the_right_length(self, blocks: int) -> None:
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-xerror",
            "-f",
            "flac",
            "-i",
            "pipe:",
            "-f",
            "s16le",
            "-",
        ]
        done = subprocess.run(command, input=silence_flac(blocks), capture_output=True, check=True)
        assert done.stderr == b""
        assert done.stdout == bytes(2 * 8_000 * 8 * blocks)

    def test_it_is_short(self) -> None:
        assert len(silence_uri(MAX_BLOCKS)) < 310

    @pytest.mark.parametrize("blocks", [0, MAX_BLOCKS + 1])
    def test_other_lengths_are_refused(self, blocks: int) -> None:
        with pytest.raises(ValueError, match="use 1 to"):
            silence_flac(blocks)


class TestSeen:
    def test_a_seek_lasts_until_the_restart_of_its_own(self) -> None:
        seen = Seen(length_ns=10, idle=False)
        states = [seen.state]
        seen.seek_asked = True
        states.append(seen.state)
        an_earlier_one_ends = {"event": "playback-restart"}
        for event in (an_earlier_one_ends, {"event": "seek"}, {"event": "playback-restart"}):
            seen.take_event(event, OwnNs(0))
            states.append(seen.state)
        playing, seeking = PlayerState.PLAYING, PlayerState.SEEKING
        assert states == [playing, seeking, seeking, seeking, playing]

    def test_a_cue_is_fresh_until_it_runs(self) -> None:
        seen = Seen(length_ns=10, idle=False, paused=True)
        seen.take_event({"event": "playback-restart"}, OwnNs(0))
        assert seen.fresh
        seen.take_event({"event": "property-change", "name": "pause", "data": False}, OwnNs(0))
        assert not seen.fresh

    def test_idle_forgets_the_film_but_not_while_loading(self) -> None:
        idle = {"event": "property-change", "name": "idle-active", "data": True}
        seen = Seen(length_ns=10, idle=False, loading=True)
        seen.take_event(idle, OwnNs(0))
        assert seen.length_ns == 10
        seen.loading = False
        seen.take_event(idle, OwnNs(0))
        assert seen.state is PlayerState.IDLE
        assert seen.length_ns is None

    def test_the_seek_cost_is_learnt_from_what_is_missing(self) -> None:
        cost = SeekCost(0)
        for _ in range(20):
            cost.asked(OwnNs(0), 500)
            cost.running(OwnNs(100 * NS_PER_MS), 500 + 60 * NS_PER_MS, 1.0)
        assert cost.cost_ns == pytest.approx(40 * NS_PER_MS, rel=0.01)
        cost.asked(OwnNs(0), 0)
        cost.forget()
        cost.running(OwnNs(NS_PER_S), 0, 1.0)
        assert cost.cost_ns == pytest.approx(40 * NS_PER_MS, rel=0.01)


class TestModel:
    TRAITS = PlayerTraits(
        speed_delay_ns=30 * NS_PER_MS, start_lead_ns=5, seek_cost_ns=40 * NS_PER_MS, frame_ns=1
    )

    def playing(self, failings: Failings | None = None) -> PlayerModel:
        model = PlayerModel(self.TRAITS, failings or Failings(load_cost_ns=0))
        model.set_paused(True, 0)
        model.load(10 * NS_PER_S, 0, 0)
        model.set_paused(False, 0)
        return model

    def test_it_starts_with_its_lead_and_wraps(self) -> None:
        model = self.playing()
        assert model.position_ns(NS_PER_S) == NS_PER_S + 5
        assert model.position_ns(10 * NS_PER_S) == 5

    def test_speed_comes_late(self) -> None:
        model = self.playing()
        model.set_speed(2.0, NS_PER_S)
        assert model.speed == 2.0
        due_ns = NS_PER_S + 30 * NS_PER_MS + 5
        assert model.position_ns(NS_PER_S + 30 * NS_PER_MS) == due_ns
        assert model.position_ns(2 * NS_PER_S + 30 * NS_PER_MS) == due_ns + 2 * NS_PER_S

    def test_a_seek_costs_its_cost(self) -> None:
        model = self.playing()
        model.seek(5 * NS_PER_S, NS_PER_S)
        assert model.state(NS_PER_S) is PlayerState.SEEKING
        assert model.position_ns(NS_PER_S + 39 * NS_PER_MS) is None
        assert model.position_ns(NS_PER_S + 50 * NS_PER_MS) == 5 * NS_PER_S + 10 * NS_PER_MS

    def test_its_rate_is_off_and_its_noise_repeats(self) -> None:
        off = Failings(rate_error_ppb=50_000, load_cost_ns=0)
        assert self.playing(off).position_ns(NS_PER_S) == NS_PER_S + 5 + 50_000
        noisy = Failings(noise_ns=1000, load_cost_ns=0, seed=7)
        first = [self.playing(noisy).read_ns(at) for at in (1, 2, 3)]
        assert first == [self.playing(noisy).read_ns(at) for at in (1, 2, 3)]

    def test_stopped_it_has_no_clock(self) -> None:
        model = self.playing()
        model.stop(5)
        assert model.state(6) is PlayerState.IDLE
        assert model.position_ns(6) is None


class TestLaunch:
    def test_headless_it_draws_nothing_and_keeps_time(self) -> None:
        command = mpv_command("/run/x.sock")
        assert command[0] == "mpv"
        assert {"--vo=null", "--ao=null", "--input-ipc-server=/run/x.sock"} <= set(command)

    def test_a_window_has_its_place(self) -> None:
        command = mpv_command("/run/x.sock", window=Window(640, 0, 640, 360, "two"), mute=True)
        assert {"--geometry=640x360+640+0", "--title=two", "--mute=yes"} <= set(command)
        assert "--vo=null" not in command

    def test_mpv_knows_every_option(self) -> None:
        window = Window(0, 0, 64, 36)
        for command in (
            mpv_command("/nowhere/x.sock"),
            mpv_command("/nowhere/x.sock", window=window, sound=True),
            mpv_command("/nowhere/x.sock", fullscreen=True),
        ):
            options = [each for each in command if not each.startswith("--input-ipc-server")]
            done = subprocess.run([*options, "--version"], capture_output=True, check=False)
            assert done.returncode == 0, done.stdout


class TestFilms:
    def test_durations_are_exact_and_equal(self, tmp_path: Path) -> None:
        film = tmp_path / "deep" / "film.mp4"
        made_ns = make_test_film(film, seconds=1.5, fps=24, size="160x90")
        assert made_ns == 1_500_000_000 == probe_duration_ns(film)

    def test_what_is_no_film_is_said(self, tmp_path: Path) -> None:
        text = tmp_path / "notes.txt"
        text.write_text("nothing to see")
        with pytest.raises(MediaError, match=r"notes\.txt: not a film"):
            probe_duration_ns(text)
        with pytest.raises(MediaError, match="no such file"):
            probe_duration_ns(tmp_path / "absent.mp4")
        with pytest.raises(MediaError, match="could not be made"):
            make_test_film(tmp_path / "x.mp4", seconds=1, size="nonsense")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]

    def test_sources_resolve_paths_and_forget_changed_files(self, tmp_path: Path) -> None:
        sources = Sources(tmp_path)
        film = tmp_path / "a film.mp4"
        film.write_bytes(b"1")
        assert sources.address("a film.mp4") == str(film)
        assert sources.address(f"file://{tmp_path}/a%20film.mp4") == str(film)
        assert sources.address("http://host/a.mp4") == "http://host/a.mp4"
        sources.learn("a film.mp4", has_sound=True)
        assert sources.known("a film.mp4")
        film.write_bytes(b"22")
        assert not sources.known("a film.mp4")

    def test_an_unfit_playlist_is_refused(self, tmp_path: Path) -> None:
        sources = Sources(tmp_path)
        with pytest.raises(MediaError, match="empty"):
            sources.require(Playlist(()))
        with pytest.raises(MediaError, match="not positive"):
            sources.require(Playlist((MediaItem("a", 0), MediaItem("b", 5))))
        with pytest.raises(MediaError, match="no such file"):
            sources.require(playlist("absent.mp4"))


def test_the_simulated_player_says_where_it_cannot_listen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim_main(["--socket", str(tmp_path / "absent" / "x.sock")]) == 2
    assert "cannot listen there" in capsys.readouterr().err


async def test_a_peer_that_talks_nonsense_is_survived(tmp_path: Path) -> None:
    """Lines that are no JSON, no object, or answer nothing asked are passed over."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff\n[1]\n{}\n" + b'{"request_id": 99, "error": "success"}\n')
        await reader.readline()
        writer.write(b'{"request_id": 1, "error": "no ')
        await writer.drain()
        writer.write(b'such thing"}\n')
        await reader.readline()
        writer.close()

    path = tmp_path / "x.sock"
    server = await asyncio.start_unix_server(babble, str(path))
    up, lost = asyncio.Event(), asyncio.Queue[PlayerEvent]()

    async def greet(ask: Ask) -> None:
        with pytest.raises(CommandError, match="no such thing"):
            await ask(["anything"])

    link = Link(
        path, greet=greet, on_up=up.set, on_lost=lost.put_nowait, on_event=lambda _event, _at: None
    )
    link.start()
    async with asyncio.timeout(10):
        await up.wait()
        with pytest.raises(PlayerGone):
            await link.request(["anything else"])
        assert (await lost.get()).kind is EventKind.DISCONNECTED
    await link.close()
    server.close()
    await server.wait_closed()
