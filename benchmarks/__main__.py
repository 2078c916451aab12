"""``python -m benchmarks [NAME …]``: run benchmarks on a demo of their own, or list them.

``python -m benchmarks NAME [OPTION …]`` runs one that needs no demo, or brings its own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import beat, flood, followers, netlab, openapi, paths, processes, spread
from benchmarks.clock import main as clock
from benchmarks.control_plane import main as control_plane
from benchmarks.demo_child import demo, isolation
from benchmarks.errors import BenchError

# What the product promises of the mean spread; above it, the exit status is 1.
SPREAD_LIMIT_MS = 2.0

# name -> what it measures, and the module that does on a running demo
BENCHMARKS = {
    "spread": ("how far apart the players are, asked of the players themselves", spread),
    "processes": ("CPU and memory of a device's four processes", processes),
}

# The same of those that need no demo; all but the first three need root.
ALONE = {
    "clock": ("estimators of the master's clock, on the same traces", clock.main),
    "control_plane": ("calls a second, latency and cost of the control plane", control_plane.main),
    "openapi": ("whatever the schema allows: no 5xx, and answers as it says", openapi.main),
    "netlab": ("the true error of the clock on every network of the lab", netlab.main),
    "paths": ("the beacon paths side by side on every network of the lab", paths.main),
    "beat": ("how exactly a master beats", beat.main),
    "followers": ("what 50 followers cost their master", followers.main),
    "flood": ("what a flood of forged messages does to a show", flood.main),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks one after the other on one demo; the worst exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in ALONE:
        return ALONE[words[0]][1](words[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument("--devices", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--out", type=Path, help="directory for the figures as JSON")
    arguments = parser.parse_args(words)
    if arguments.list:
        for name, (meaning, _) in (BENCHMARKS | ALONE).items():
            print(f"{name:12} {meaning}")
        print(f"{'fuzz':12} what decodes the LAN's messages: make fuzz")
        return 0
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        known = ", ".join(BENCHMARKS | ALONE)
        print(f"benchmarks: no {unknown[0]} here, only {known}", file=sys.stderr)
        return 2
    try:
        return _run(arguments)
    except BenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    options, sentence = isolation()
    print(f"demo of {arguments.devices} devices: {sentence}")
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    worst = 0
    with demo([*options, "--devices", str(arguments.devices)]) as run_dir:
        # Whatever is measured, it is measured of a show that runs.
        for player in spread.find_players(run_dir, arguments.devices, spread.WAIT_S):
            player.close()
        for name in arguments.names or BENCHMARKS:
            words = ["--run-dir", str(run_dir), "--seconds", str(arguments.seconds)]
            if name == "spread":
                words += ["--limit-mean-ms", str(SPREAD_LIMIT_MS)]
            if arguments.out:
                words += ["--json", str(arguments.out / f"{name}.json")]
            worst = max(worst, BENCHMARKS[name][1].main(words))
    return worst


if __name__ == "__main__":
    sys.exit(main())
