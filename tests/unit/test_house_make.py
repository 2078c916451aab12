"""`make` hands values to the demo as they are, and lists its targets."""

import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*words: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def demo_line(*values: str) -> list[str]:
    """The words of the demo's command, as the shell would split them."""
    [line] = [line for line in make("-n", "demo", *values).splitlines() if "unisono demo" in line]
    return shlex.split(line)[3:]


def test_values_with_spaces_and_quotes_survive() -> None:
    words = demo_line("MEDIA=a film's $HOME.mp4".replace("$", "$$"), "SECONDS=40", "WALL=3x1")
    assert words == ["--seconds", "40", "--media", "a film's $HOME.mp4", "--wall", "3x1"]


def test_isolate_is_a_switch_and_nothing_is_passed_unasked() -> None:
    assert demo_line() == demo_line("ISOLATE=0") == []
    assert demo_line("ISOLATE=1", "PLAYER=sim") == ["--player", "sim", "--isolate"]


def test_help_lists_every_target() -> None:
    page = make("help")
    for target in ("setup", "demo", "test", "check", "bench", "docs", "lock", "clean"):
        assert f"  make {target} " in page
