"""`unisono demo`: check what was asked, prepare the film, run the show, give the verdict."""

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services.cli.demo import leftovers, options
from services.cli.demo.film import Film, find_film
from services.cli.demo.isolate import build_lab, remove_lab, remove_stale_labs
from services.cli.demo.options import Options
from services.cli.demo.plan import hosts
from services.cli.demo.report import shortcomings
from services.cli.demo.show import Show
from unisono.config.flags import PREFIX as FLAG_PREFIX
from unisono.runtime import UserError, new_loop

FAILED = 1


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 only if all devices played in unison at the end."""
    asked = _options(arguments)
    options.check(asked)
    # Until the show takes signals over: a film half made, or a lab half built, is tidied up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        film = find_film(asked)
        with ExitStack() as ending:
            run_dir = options.make_run_dir(asked)
            ending.enter_context(leftovers.hold(run_dir))
            if asked.run_dir is None:
                ending.callback(leftovers.drop_unused, run_dir)
            report = _run_show(asked, run_dir, film, ending)
    except KeyboardInterrupt:
        return FAILED
    return _verdict(report, asked.report, run_dir)


def _options(arguments: argparse.Namespace) -> Options:
    wall = options.pair("--wall", arguments.wall) if arguments.wall else None
    cell = options.pair("--cell", arguments.cell) if arguments.cell else options.DEFAULT_CELL
    return Options(
        devices=arguments.devices,
        seconds=arguments.seconds,
        media=arguments.media,
        player=arguments.player,
        run_dir=arguments.run_dir,
        report=arguments.report,
        isolate=arguments.isolate,
        wall=wall,
        cell=cell,
        port=arguments.port,
        flags={name: text for name, text in os.environ.items() if name.startswith(FLAG_PREFIX)},
    )


def _run_show(
    asked: Options, run_dir: Path, film: Film, ending: ExitStack
) -> dict[str, Any] | None:
    lab = None
    if asked.isolate:
        remove_stale_labs()  # of demos that were killed; those of the living stay
        lab = build_lab(hosts(asked.devices))
        ending.callback(remove_lab, lab.owner)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(Show(asked, run_dir, film, lab).run())
    finally:
        # Impatience must not interrupt what is left to tidy up: it takes a moment only.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _verdict(report: dict[str, Any] | None, target: Path | None, run_dir: Path) -> int:
    print(f"logs stay in {run_dir}")
    if report is None:
        print("the demo was stopped before the session could start", file=sys.stderr)
        return FAILED
    if target is not None:
        try:
            target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--report {target}: {error.strerror}") from None
        print(f"wrote {target}")
    problems = shortcomings(report)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"all {len(report['devices'])} devices played in unison")
    return FAILED if problems else 0
