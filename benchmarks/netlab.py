"""How exact the clock on the LAN is, on every network of the lab (root).

``python -m benchmarks.netlab [ROW …]``: real beacon processes on hosts whose clocks are set
apart by a known time, joined by a switch that delays and loses; what a row must hold is in
`tests.netlab.scenarios`. Idle processors are kept awake (`benchmarks.awake`). One row after the
other, since they would disturb each other; 1 when one does not hold. ``--net list`` of the demo
describes the networks.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.awake import awake
from tests.netlab.judge import Figures, faults
from tests.netlab.run import run
from tests.netlab.scenarios import SCENARIOS, Scenario

_HEAD = (
    f"{'row':20} {'bias':>7} {'mean':>7} {'p50':>7} {'p99':>7} {'max':>7} {'bound':>7} "
    f"{'beyond':>7} {'lost':>5} {'back':>5}  path"
)


def line(row: Scenario, found: Figures) -> str:
    """One line of the table; times in ms, ``back`` in s."""
    back = "" if found.back_s is None else f"{found.back_s:.1f}"
    return (
        f"{row.name:20} {found.bias_ms:7.3f} {found.mean_ms:7.3f} {found.p50_ms:7.3f} "
        f"{found.p99_ms:7.3f} {found.max_ms:7.3f} {found.bound_mean_ms:7.3f} "
        f"{found.outside_bound_ratio:7.2%} {found.lost:5} {back:>5}  {', '.join(found.paths)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows and print the table; 1 when a limit does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.netlab", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all of them")
    parser.add_argument("--settle", type=float, default=30.0, help="seconds before judging")
    parser.add_argument("--judge", type=float, default=30.0, help="seconds of judging")
    parser.add_argument("--followers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    known = {row.name: row for row in SCENARIOS}
    if unknown := [name for name in asked.rows if name not in known]:
        print(f"netlab: no {unknown[0]} here, only {', '.join(known)}", file=sys.stderr)
        return 2
    print(_HEAD)
    broken, plain = 0, dict[str, Any]()
    for name in asked.rows or known:
        row = known[name]
        with awake():
            found = asyncio.run(
                run(
                    row,
                    settle_s=asked.settle,
                    judge_s=asked.judge,
                    followers=asked.followers,
                    seed=asked.seed,
                )
            )
        wrong = faults(found, row.limits, row.path)
        print(line(row, found), *(f"\n    {fault}" for fault in wrong), sep="", flush=True)
        plain[name] = found.plain() | {"faults": wrong}
        broken += bool(wrong)
    if asked.json:
        asked.json.write_text(json.dumps(plain, indent=2) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
