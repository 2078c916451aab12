"""How far apart are the players? Asked of the players themselves, dated by one clock.

``python -m benchmarks.spread --run-dir DIR``. At each sampling instant every player's clock is
read over its own IPC socket, between two readings of the host's CLOCK_MONOTONIC; the positions
are carried over to one common instant and the spread is the largest minus the smallest. The
devices' own words (drift, clock maps, metrics) play no part, and the devices' clocks neither.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.mpv_clock import MpvClock, Reading
from unisono.core.summary import percentile

# No multiple of frame rates, of the beacons' or of the corrector's steps: nothing hides in a beat.
DEFAULT_RATE_HZ = 9.73
# The dating of a reading is off by half its round trip at most.
MAX_ROUND_TRIP_MS = 1.0
TRIES = 4
LIMITS_MS = (1, 2, 5, 50)
SETTLE_S = 5.0
WAIT_S = 60.0
FILMS = ("film.*", "*.mkv", "*.mp4", "*.mov", "*.webm", "*.ts")


@dataclass(frozen=True, slots=True)
class Instant:
    """The players at one common instant: each one's lead over the median player, ms."""

    leads_ms: tuple[float, ...]

    @property
    def spread_ms(self) -> float:
        """Largest minus smallest position."""
        return max(self.leads_ms) - min(self.leads_ms)


@dataclass(slots=True)
class Tally:
    """What was measured, and what could not be."""

    instants: list[Instant]
    round_trips_ms: list[float]
    readings_slow: int = 0  # round trip too long: read again at once
    instants_incomplete: int = 0  # some player away, silent, or slow at every try
    readings_by_frame: int = 0  # of the frame clock: as coarse as a frame


def wrap_s(difference_s: float, loop_s: float) -> float:
    """The difference of two positions on a loop, in [-loop/2, loop/2)."""
    return (difference_s + loop_s / 2) % loop_s - loop_s / 2


def align(readings: Sequence[Reading], loop_s: float) -> Instant:
    """Readings taken within milliseconds of each other, carried over to their mean instant."""
    common_ns = sum(reading.at_ns for reading in readings) // len(readings)
    positions_s = [reading.position_at_s(common_ns) for reading in readings]
    # Differences to one player are small, wherever on the loop the players are.
    leads_ms = [1e3 * wrap_s(position - positions_s[0], loop_s) for position in positions_s]
    middle_ms = statistics.median(leads_ms)
    return Instant(tuple(lead - middle_ms for lead in leads_ms))


def look(players: Sequence[MpvClock], tally: Tally, max_round_trip_ms: float) -> list[Reading]:
    """One reading of each player, or an empty list when one of them cannot be had."""
    found: list[Reading] = []
    for player in players:
        for _ in range(TRIES):
            reading = player.read()
            if reading is None or reading.round_trip_ns <= max_round_trip_ms * 1e6:
                break
            tally.readings_slow += 1
            reading = None
        if reading is None:
            tally.instants_incomplete += 1
            return []
        tally.readings_by_frame += not reading.exact
        tally.round_trips_ms.append(reading.round_trip_ns / 1e6)
        found.append(reading)
    return found


def measure(
    players: Sequence[MpvClock],
    *,
    loop_s: float,
    seconds: float,
    rate_hz: float = DEFAULT_RATE_HZ,
    max_round_trip_ms: float = MAX_ROUND_TRIP_MS,
) -> Tally:
    """Sample all ``players`` at ``rate_hz`` for ``seconds``."""
    tally = Tally([], [])
    start_s = time.monotonic()
    for number in range(max(1, round(seconds * rate_hz))):
        time.sleep(max(0.0, start_s + number / rate_hz - time.monotonic()))
        readings = look(players, tally, max_round_trip_ms)
        if readings:
            tally.instants.append(align(readings, loop_s))
    return tally


def result(names: Sequence[str], tally: Tally) -> dict[str, Any]:
    """The figures as a JSON document; BenchError when nothing could be measured."""
    if not tally.instants:
        raise BenchError("no instant at which every player's clock could be read")
    spreads_ms = sorted(instant.spread_ms for instant in tally.instants)
    trips_ms = sorted(tally.round_trips_ms)
    leads = dict(zip(names, zip(*(i.leads_ms for i in tally.instants), strict=True), strict=True))
    return {
        "schema": 1,
        "benchmark": "spread",
        "players": list(names),
        "instants": len(spreads_ms),
        "spread_ms": {
            "mean": statistics.fmean(spreads_ms),
            **{f"p{p}": percentile(spreads_ms, p) for p in (50, 95, 99)},
            "max": spreads_ms[-1],
        },
        "within_ratio": {
            f"{limit}ms": sum(s <= limit for s in spreads_ms) / len(spreads_ms)
            for limit in LIMITS_MS
        },
        "lead_ms": {
            name: {"mean": statistics.fmean(series), "sd": statistics.pstdev(series)}
            for name, series in leads.items()
        },
        "round_trip_ms": {"p50": percentile(trips_ms, 50), "max": trips_ms[-1]},
        "readings_slow": tally.readings_slow,
        "readings_by_frame": tally.readings_by_frame,
        "instants_incomplete": tally.instants_incomplete,
    }


def find_players(run_dir: Path, expected: int | None, wait_s: float) -> list[MpvClock]:
    """The players of ``DIR/*/mpv.sock`` once they all play; BenchError when they do not in time.

    Without ``expected`` that is at least two, and all that have a socket.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        players = [MpvClock(path) for path in sorted(run_dir.glob("*/mpv.sock"))]
        playing = [player for player in players if _plays(player)]
        if len(playing) == len(players) and len(players) >= (expected or 2):
            return players
        for player in players:
            player.close()
        if time.monotonic() > deadline_s:
            raise BenchError(
                f"{run_dir}: {len(players)} players, of which {len(playing)} play, after "
                f"{wait_s:g} s of waiting for {expected or 'two or more'}: is a demo running there?"
            )
        time.sleep(0.2)


def _plays(player: MpvClock) -> bool:
    before = player.read()
    time.sleep(0.05)
    after = player.read()
    return bool(before and after and after.rate > 0 and after.position_s != before.position_s)


def loop_seconds(run_dir: Path) -> float:
    """Length of the one film that lies in ``run_dir``: of its picture, else of the whole file."""
    films = {path for kind in FILMS for path in run_dir.glob(kind)}
    if len(films) != 1:
        raise BenchError(f"{run_dir}: {len(films)} films there; give the loop's --loop-seconds")
    film = films.pop()
    asked = ("-select_streams", "v:0", "-show_entries", "stream=duration:format=duration")
    command = ("ffprobe", "-v", "error", *asked, "-of", "json", str(film))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        parts = (*found.get("streams", ()), found["format"])
        return float(next(part["duration"] for part in parts if "duration" in part))
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError, StopIteration):
        raise BenchError(f"{film}: ffprobe cannot tell its length; use --loop-seconds") from None


def text_of(figures: dict[str, Any]) -> str:
    """The figures for people."""
    spread, within = figures["spread_ms"], figures["within_ratio"]
    lines = [
        f"spread of {len(figures['players'])} players at {figures['instants']} instants, ms:  "
        + "  ".join(f"{name} {value:.3f}" for name, value in spread.items()),
        "share of instants within:  "
        + "  ".join(f"{name} {100 * value:.2f} %" for name, value in within.items()),
    ]
    lines += [
        f"  {name}: leads the median player by {lead['mean']:+.3f} ms (sd {lead['sd']:.3f})"
        for name, lead in figures["lead_ms"].items()
    ]
    trips = figures["round_trip_ms"]
    lines.append(
        f"readings: round trip p50 {trips['p50']:.3f} ms, max {trips['max']:.3f}; "
        f"{figures['readings_slow']} read again for a slow answer, "
        f"{figures['readings_by_frame']} of the frame clock, "
        f"{figures['instants_incomplete']} instants left out"
    )
    return "\n".join(lines)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spread", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="of a demo that is running")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE_HZ, help="instants a second")
    parser.add_argument("--devices", type=int, help="players to wait for (default: those there)")
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds to wait for players")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds left out then")
    parser.add_argument("--loop-seconds", type=float, help="length of the loop (default: the film)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--limit-mean-ms", type=float, help="exit 1 when the mean is above this")
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace) -> int:
    """Wait for the players, measure, print; the exit status."""
    players = find_players(arguments.run_dir, arguments.devices, arguments.wait)
    try:
        loop_s = arguments.loop_seconds or loop_seconds(arguments.run_dir)
        time.sleep(arguments.settle)
        tally = measure(players, loop_s=loop_s, seconds=arguments.seconds, rate_hz=arguments.rate)
    finally:
        for player in players:
            player.close()
    figures = result([player.path.parent.name for player in players], tally)
    print(text_of(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    mean_ms = figures["spread_ms"]["mean"]
    if arguments.limit_mean_ms is not None and mean_ms > arguments.limit_mean_ms:
        print(
            f"spread: mean {mean_ms:.3f} ms is above {arguments.limit_mean_ms:g} ms",
            file=sys.stderr,
        )
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 measured, 1 above the limit, 2 not measured."""
    try:
        return run(_arguments(argv))
    except BenchError as error:
        print(f"spread: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
