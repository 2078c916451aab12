"""The outside benchmark against real players whose spread is known: paused at given places."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.mpv_clock import MpvClock
from benchmarks.spread import find_players, loop_seconds, main, measure, result
from unisono.player.testfilm import make_test_film

LOOP_S = 30.0
TONE = f"av://lavfi:sine=440:duration={LOOP_S:g}"


@contextlib.contextmanager
def playing(run_dir: Path, places_s: dict[str, float], *options: str) -> Iterator[list[MpvClock]]:
    """One real mpv for each name, at its place, in ``run_dir/NAME/mpv.sock``."""
    with contextlib.ExitStack() as stack:
        clocks = []
        for name, place_s in places_s.items():
            path = run_dir / name / "mpv.sock"
            path.parent.mkdir()
            command = ("mpv", "--no-config", "--really-quiet", "--vo=null", "--ao=null")
            where = (f"--start={place_s}", f"--input-ipc-server={path}", *options, TONE)
            child = stack.enter_context(subprocess.Popen([*command, *where]))
            stack.callback(child.terminate)
            clock = MpvClock(path)
            stack.callback(clock.close)
            clocks.append(clock)
        for clock in clocks:
            while (reading := clock.read()) is None or not reading.exact:
                time.sleep(0.01)
        yield clocks


def test_paused_players_have_the_spread_they_were_given(short_dir: Path) -> None:
    with playing(short_dir, {"a": 3.0, "b": 3.02, "c": 2.99}, "--pause") as clocks:
        tally = measure(clocks, loop_s=LOOP_S, seconds=0.5, rate_hz=20, max_round_trip_ms=500)
    figures = result(["a", "b", "c"], tally)
    # The tone is decoded in packets; mpv starts a packet's sample near the place asked for.
    assert figures["spread_ms"]["mean"] == pytest.approx(30, abs=1)
    assert figures["spread_ms"]["max"] == pytest.approx(figures["spread_ms"]["p50"], abs=0.01)
    assert figures["lead_ms"]["b"]["mean"] == pytest.approx(20, abs=1)
    assert figures["within_ratio"] == {"1ms": 0, "2ms": 0, "5ms": 0, "50ms": 1}
    assert figures["readings_by_frame"] == 0


def test_players_on_both_sides_of_the_seam_are_near(short_dir: Path) -> None:
    with playing(short_dir, {"a": 0.1, "b": LOOP_S - 0.5}, "--pause") as clocks:
        tally = measure(clocks, loop_s=LOOP_S, seconds=0.1, max_round_trip_ms=500)
    assert result(["a", "b"], tally)["spread_ms"]["mean"] == pytest.approx(600, abs=2)


def test_the_command_prints_and_writes_its_figures(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = short_dir / "r.json"
    words = ("--run-dir", str(short_dir), "--seconds", "0.5", "--settle", "0", "--devices", "2")
    with playing(short_dir, {"a": 5.0, "b": 5.0}):
        status = main([*words, "--loop-seconds", str(LOOP_S), "--json", str(target)])
        assert status == 0
        assert main([*words, "--loop-seconds", str(LOOP_S), "--limit-mean-ms", "0"]) == 1
        assert main([*words]) == 2
    out, err = capsys.readouterr()
    assert "spread of 2 players" in out
    assert "0 films there; give the loop's --loop-seconds" in err
    assert json.loads(target.read_text())["instants"] > 0


def test_no_players_is_one_sentence(short_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run-dir", str(short_dir), "--wait", "0"]) == 2
    assert "is a demo running there?" in capsys.readouterr().err


def test_a_player_that_goes_away_is_counted(short_dir: Path) -> None:
    with playing(short_dir, {"a": 3.0, "b": 3.0}, "--pause") as clocks:
        find_first = MpvClock(short_dir / "missing.sock")
        tally = measure([*clocks, find_first], loop_s=LOOP_S, seconds=0.2)
    assert tally.instants_incomplete == 2
    with pytest.raises(BenchError, match="no instant"):
        result(["a", "b", "c"], tally)


def test_paused_players_do_not_count_as_playing(short_dir: Path) -> None:
    with (
        playing(short_dir, {"a": 3.0, "b": 3.0}, "--pause"),
        pytest.raises(BenchError, match="2 players, of which 0 play"),
    ):
        find_players(short_dir, None, 0)


def test_the_loop_is_as_long_as_the_film(short_dir: Path) -> None:
    film = short_dir / "film.mp4"
    make_test_film(film, seconds=2, sound=True)
    assert loop_seconds(short_dir) == 2.0
    film.write_text("no film")
    with pytest.raises(BenchError, match="ffprobe cannot tell"):
        loop_seconds(short_dir)
