"""``python -m benchmarks.clock``: all candidates on all traces, as a table.

Nothing here needs a network or takes real time: traces are seeded and their truth is known, so
the figures are the same on every machine.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from math import isnan
from pathlib import Path
from time import process_time_ns

from benchmarks.clock.candidates import CANDIDATES
from benchmarks.clock.rows import ROWS
from benchmarks.clock.score import Score, over_seeds, play, score
from benchmarks.clock.sendspin import ByFormula, Published, published
from benchmarks.clock.traces import START_NS, Row, make
from unisono.core.estimator import ClockEstimator
from unisono.core.samples import BeaconSample
from unisono.core.units import OwnNs

QUICK_SEEDS = 1
HEAD = f"{'':18}{'mean':>10}{'rms':>10}{'p99':>10}{'max':>10}{'conv.':>8}{'covered':>9}{'bound':>9}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 unless a row or candidate is asked for that is not here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clock", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all of them")
    parser.add_argument("--seeds", type=int, default=5, help="traces of each row")
    parser.add_argument("--quick", action="store_true", help="one seed, no peer to install")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args(argv)
    known = {row.name: row for row in ROWS}
    unknown = [name for name in arguments.rows if name not in known]
    if unknown:
        print(f"benchmarks: no row {unknown[0]} here, only {', '.join(known)}", file=sys.stderr)
        return 2
    rows = [known[name] for name in arguments.rows] or list(ROWS)
    seeds = QUICK_SEEDS if arguments.quick else max(1, arguments.seeds)
    peer = nullcontext((None, "sendspin: by its formulas")) if arguments.quick else published()
    figures: dict[str, dict[str, Score]] = {}
    with peer as (running, sentence):
        print(f"{seeds} traces of each row, {sentence}; ms, s to converge, share inside the bound")
        for row in rows:
            figures[row.name] = _run(row, seeds, running)
            _print(row, figures[row.name])
    costs = cost_us()
    print(f"\nunisono costs, us: {', '.join(f'{what} {us:.1f}' for what, us in costs.items())}")
    if arguments.json:
        rows_json = {r: {c: _known(s) for c, s in found.items()} for r, found in figures.items()}
        body = {"seeds": seeds, "sendspin": sentence, "rows": rows_json, "cost_us": costs}
        arguments.json.write_text(json.dumps(body, indent=1))
    return 0


def _run(row: Row, seeds: int, running: Published | None) -> dict[str, Score]:
    """Every candidate on the same traces of one row."""
    scores: dict[str, list[Score]] = {}
    for seed in range(seeds):
        trace = make(row, seed)
        for kind in CANDIDATES:
            scores.setdefault(kind.name, []).append(score(trace, play(trace, kind())))
        name, said = (
            (running.name, running.play(trace))
            if running
            else (ByFormula.name, play(trace, ByFormula()))
        )
        scores.setdefault(name, []).append(score(trace, said))
    return {name: over_seeds(found) for name, found in scores.items()}


def _print(row: Row, found: dict[str, Score]) -> None:
    print(f"\n{row.name} (converged: stays within {row.limit_ms:g} ms)\n{HEAD}")
    for name, s in found.items():
        errors_ms = (s.mean_ms, s.rms_ms, s.p99_ms, s.max_ms)
        cells = "".join(f"{'-':>10}" if isnan(v) else f"{v:10.3f}" for v in errors_ms)
        converged = f"{s.converged_s:8.1f}" if s.converged_s is not None else f"{'-':>8}"
        covered = f"{s.covered:9.2%}" if s.covered is not None else f"{'-':>9}"
        bound = f"{s.bound_ms:9.3f}" if s.bound_ms is not None else f"{'-':>9}"
        print(f"  {name:16}{cells}{converged}{covered}{bound}")


def _known(s: Score) -> dict[str, float | None]:
    """The figures for JSON, which has no word for what is not a number."""
    return {k: None if v is None or isnan(v) else v for k, v in asdict(s).items()}


def cost_us() -> dict[str, float]:
    """What the product's estimator costs in processor time, by call, once its window is full."""
    trace = make(next(row for row in ROWS if row.name == "wifi-bad"), 0)
    spent = {"beacon": [0, 0], "probe": [0, 0], "clock_map": [0, 0]}
    full = ClockEstimator()
    for at_ns, event in trace.events:
        began_ns = process_time_ns()
        if isinstance(event, BeaconSample):
            full.add_beacon(event)
            what = "beacon"
        else:
            full.add_probe(event)  # type: ignore[arg-type]  # no reset in this row
            what = "probe"
        now_ns = process_time_ns()
        full.clock_map(OwnNs(at_ns))
        if at_ns > START_NS + 150 * 10**9:
            for name, ns in ((what, now_ns - began_ns), ("clock_map", process_time_ns() - now_ns)):
                spent[name][0] += ns
                spent[name][1] += 1
    return {name: ns / count / 1000 for name, (ns, count) in spent.items()}
