"""What was asked of the demo, checked before anything is started."""

import difflib
import math
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.demo.leftovers import DEFAULT_PARENT, DEFAULT_PREFIX, LOCK
from services.cli.demo.tally import SETTLE_S
from services.cli.lab.profiles import find_profile
from services.cli.lab.tap import DEVICE as TAP_DEVICE
from services.cli.paths import need_file, need_target
from unisono.config import load_flags
from unisono.config.flags import PREFIX, Flags
from unisono.config.settings import MAX_RUN_DIR_BYTES
from unisono.config.table import rows
from unisono.runtime import UserError

MAX_DEVICES = 32  # what one machine can decode is far less; the simulated player goes this far
DEFAULT_CELL = (640, 360)
DEFAULT_SEED = 1  # the same dice in each run, so that runs can be compared
PLAYERS = ("mpv", "sim")
_TOOLS = {"mpv": "mpv", "ffmpeg": "ffmpeg", "ip": "iproute2", "unshare": "util-linux"}


@dataclass(frozen=True, slots=True)
class Options:
    """One demo; ``seconds`` None runs until Ctrl-C, ``media`` None makes a film."""

    devices: int = 3
    seconds: float | None = None
    media: Path | None = None
    player: str = "mpv"
    run_dir: Path | None = None
    report: Path | None = None
    isolate: bool = False
    net: str | None = None  # a profile of the lab; None is a bridge of the kernel's
    seed: int | None = None
    wall: tuple[int, int] | None = None
    cell: tuple[int, int] = DEFAULT_CELL
    port: int = 0
    flags: Mapping[str, str] = field(default_factory=dict)


def check(options: Options) -> None:
    """UserError, one sentence, for what cannot work."""
    if not 1 <= options.devices <= MAX_DEVICES:
        raise UserError(f"--devices {options.devices}: use 1 to {MAX_DEVICES}")
    if options.seconds is not None:
        _check_seconds(options.seconds)
    if options.player not in PLAYERS:
        raise UserError(f"--player {options.player}: use {' or '.join(PLAYERS)}")
    if options.media is not None:
        need_file("--media", options.media)
    if options.wall is not None and options.wall[0] * options.wall[1] < options.devices:
        columns, lines = options.wall
        raise UserError(
            f"--wall {columns}x{lines} has fewer cells than the {options.devices} devices"
        )
    if options.report is not None:
        need_target("--report", options.report)
    _check_net(options)
    _check_flags(options.flags)
    _check_port(options.port)
    _check_tools(options)


def _check_net(options: Options) -> None:
    if options.seed is not None and options.net is None:
        raise UserError(f"--seed {options.seed}: it is for the dice of --net; give a profile too")
    if options.net is not None:
        find_profile(options.net)
        if not options.isolate:
            raise UserError(
                f"--net {options.net}: only devices with networks of their own can have a bad one; "
                "add --isolate"
            )
    if options.isolate and os.geteuid() != 0:
        raise UserError("--isolate makes network namespaces, so it needs root: use sudo")
    if options.net is not None and not TAP_DEVICE.exists():
        raise UserError(f"--net {options.net}: there is no {TAP_DEVICE}; type sudo modprobe tun")


def _check_seconds(seconds: float) -> None:
    if not math.isfinite(seconds):
        raise UserError(f"--seconds {seconds:g}: leave it out to play until Ctrl-C")
    if seconds <= SETTLE_S:
        raise UserError(
            f"--seconds {seconds:g}: use more than {SETTLE_S:g}, "
            f"as drift counts from {SETTLE_S:g} s after the start on"
        )


def _check_flags(flags: Mapping[str, str]) -> None:
    known = [row.name for row in rows(Flags, PREFIX)]
    for name in flags:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=2)
            advice = f"did you mean {' or '.join(near)}" if near else "docs/flags.md lists all"
            raise UserError(f"{name} is set, but there is no such flag: {advice}; else unset it")
    load_flags(flags)


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: use 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or "cannot be used"
            raise UserError(f"--port {port}: {reason}; choose another, or leave it out") from None


def _check_tools(options: Options) -> None:
    needed = ["mpv", "ffmpeg"] if options.player == "mpv" else []
    needed += ["ip", "unshare"] if options.isolate else []
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if missing:
        packages = " ".join(_TOOLS[tool] for tool in missing)
        hint = " (or use --player sim)" if "mpv" in missing else ""
        raise UserError(
            f"missing: {', '.join(missing)}. Type sudo apt-get install {packages}{hint}"
        )


def make_run_dir(options: Options) -> Path:
    """The run's own directory, made and empty of sockets; UserError when it cannot be used."""
    if options.run_dir is None:
        return Path(tempfile.mkdtemp(prefix=DEFAULT_PREFIX, dir=DEFAULT_PARENT))
    path = options.run_dir.absolute()
    # Each device has a directory of its own inside, named as long as screen-32.
    longest = len(os.fsencode(path)) + len("/screen-32")
    if longest > MAX_RUN_DIR_BYTES:
        raise UserError(
            f"--run-dir {path}: longer than {MAX_RUN_DIR_BYTES - len('/screen-32')} bytes, "
            "too long for the unix sockets inside; choose a shorter one"
        )
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"--run-dir {path}: {error.strerror}") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"--run-dir {path}: not readable and writable")
    if any(path.iterdir()) and not (path / LOCK).exists():
        raise UserError(f"--run-dir {path}: holds what no demo has made; choose an empty directory")
    return path


def pair(option: str, text: str) -> tuple[int, int]:
    """``3x1`` as (3, 1); UserError that names ``option`` when it is not two numbers above 0."""
    match = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if match is None:
        raise UserError(f"{option} {text}: use two whole numbers, such as 3x1 or 640x360")
    return int(match[1]), int(match[2])
