"""What `unisono clean` removes, and what it never touches, whoever planted it."""

import os
from pathlib import Path

import pytest

from services.cli.demo import leftovers
from services.cli.demo.leftovers import DEFAULT_PREFIX, LOCK, drop_unused, hold
from services.cli.main import main
from unisono.runtime import UserError


@pytest.fixture(autouse=True)
def parent(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /tmp; no networks of this machine are looked at."""
    monkeypatch.setattr(leftovers, "DEFAULT_PARENT", short_dir)
    monkeypatch.setattr(leftovers, "remove_stale_labs", list)
    return short_dir


def demo_dir(parent: Path, name: str) -> Path:
    path = parent / f"{DEFAULT_PREFIX}{name}"
    path.mkdir()
    (path / LOCK).touch()
    (path / "x.log").touch()
    return path


def test_ended_demos_go_and_running_ones_stay(
    parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, running = demo_dir(parent, "ended"), demo_dir(parent, "running")
    other = parent / "something-else"
    other.mkdir()
    with hold(running):
        assert main(["clean"]) == 0
    assert capsys.readouterr().out == f"removed {ended}\n"
    assert {*parent.iterdir()} == {other, running}


def test_a_planted_lock_makes_no_file_elsewhere(parent: Path) -> None:
    target = parent / "made-by-root"
    planted = parent / f"{DEFAULT_PREFIX}planted"
    planted.mkdir()
    (planted / LOCK).symlink_to(target)
    main(["clean"])
    assert not target.exists()
    assert planted.exists()
    with pytest.raises(UserError, match=r"planted: \.lock: "), hold(planted):
        pass
    assert not target.exists()


def test_links_are_not_followed(parent: Path) -> None:
    elsewhere = parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (parent / f"{DEFAULT_PREFIX}link").symlink_to(elsewhere)
    main(["clean"])
    assert (elsewhere / LOCK).exists()


def test_a_directory_without_a_lock_is_no_demos(parent: Path) -> None:
    path = parent / f"{DEFAULT_PREFIX}bare"
    path.mkdir()
    main(["clean"])
    assert list(path.iterdir()) == []


def test_a_run_that_never_began_leaves_no_directory_and_one_that_did_its_logs(parent: Path) -> None:
    began, unused = demo_dir(parent, "began"), demo_dir(parent, "unused")
    (unused / "x.log").unlink()
    for path in (began, unused):
        drop_unused(path)
    assert list(parent.iterdir()) == [began]


@pytest.mark.root
def test_what_belongs_to_others_stays_even_for_root(parent: Path) -> None:
    path = demo_dir(parent, "theirs")
    os.chown(path, 65534, 65534)
    main(["clean"])
    assert (path / "x.log").exists()
