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
from services.cli.demo.options import Options
from services.cli.demo.plan import hosts
from services.cli.demo.report import shortcomings
from services.cli.demo.show import Show
from services.cli.lab import profiles
from services.cli.lab.control import LabControl
from services.cli.lab.iproute import LabError
from services.cli.lab.namespaces import Lab, bridged, remove_stale_labs
from services.cli.lab.switched import LOG_NAME, switched
from unisono.config.flags import PREFIX as FLAG_PREFIX
from unisono.runtime import UserError, new_loop

FAILED = 1
LIST = "list"  # instead of a profile's name


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 only if all devices played in unison at the end."""
    if arguments.net == LIST:
        print(profiles.table())
        return 0
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
        net=arguments.net,
        seed=arguments.seed,
        wall=wall,
        cell=cell,
        port=arguments.port,
        flags={name: text for name, text in os.environ.items() if name.startswith(FLAG_PREFIX)},
    )


def _run_show(
    asked: Options, run_dir: Path, film: Film, ending: ExitStack
) -> dict[str, Any] | None:
    lab = _open_lab(asked, run_dir, ending) if asked.isolate else None
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(Show(asked, run_dir, film, lab).run())
    finally:
        # Impatience must not interrupt what is left to tidy up: it takes a moment only.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _open_lab(asked: Options, run_dir: Path, ending: ExitStack) -> Lab:
    """The network that the devices are to have, until ``ending``."""
    remove_stale_labs()  # of demos that were killed; those of the living stay
    names = hosts(asked.devices)
    if asked.net is None:
        return ending.enter_context(bridged(names))
    profile = profiles.find_profile(asked.net)
    seed = options.DEFAULT_SEED if asked.seed is None else asked.seed
    control = ending.enter_context(switched(names, profile=profile, seed=seed, directory=run_dir))
    ending.callback(_tell_network, control, run_dir)
    return control.lab


def _tell_network(control: LabControl, run_dir: Path) -> None:
    """What the switch has done, and how exactly: its lateness is part of every figure."""
    try:
        figures = control.statistics()
    except LabError as error:
        print(f"{error}; its log is {run_dir / LOG_NAME}", file=sys.stderr)
        return
    links = [host[way] for host in figures["hosts"].values() for way in ("towards", "leaving")]
    carried = sum(host["towards"]["carried"] for host in figures["hosts"].values())
    lost = sum(sum(link["lost"].values()) for link in links)
    late = figures["lateness_us"]
    own = f"; the switch was late by {late['p50']} us (p50), {late['p99']} us (p99)"
    print(f"network: {carried} frames carried, {lost} lost{own if late['count'] else ''}")


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
