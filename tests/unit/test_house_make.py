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
    words = demo_line("ISOLATE=1", "PLAYER=sim", "NET=wifi-bad", "SEED=2")
    assert words == ["--player", "sim", "--isolate", "--net", "wifi-bad", "--seed", "2"]


def test_help_lists_every_target() -> None:
    page = make("help")
    for target in ("setup", "demo", "test", "check", "bench", "docs", "lock", "clean"):
        assert f"  make {target} " in page


def test_advice_on_parts_one_can_do_without_is_given_once_for_each_setup(tmp_path: Path) -> None:
    tools = tmp_path / "bin"  # a machine without a package manager
    tools.mkdir()
    for name in ("bash", "cat", "id"):
        (tools / name).symlink_to(f"/bin/{name}")
    (tmp_path / ".venv").mkdir()

    def need(*words: str) -> tuple[int, str]:
        command = ["/bin/bash", str(ROOT / "tools" / "need.sh"), *words]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path,
            env={"PATH": str(tools)},
        )  # fmt: skip
        return done.returncode, done.stderr

    def set_up(stamp: str) -> None:
        (tmp_path / ".venv" / ".setup").write_text(stamp)

    set_up("one")
    assert "missing: no-such-part." in need("--optional", "no-such-part")[1]
    assert need("--optional", "no-such-part") == (0, "")
    assert need("--optional", "another-part")[1]
    assert need("another-part")[0] == 1  # what is needed is said each time
    assert need("another-part")[1]
    set_up("another")
    assert need("--optional", "another-part")[1]
