"""The rules of this suite (tests/conftest.py), tried on small suites of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

def test_passes(): pass

@pytest.mark.skip
def test_skipped(): pass

@pytest.mark.xfail
def test_expected_to_fail(): assert False

@pytest.mark.root
def test_needs_root(): pass
"""
NOT_ROOT = "import os\nos.geteuid = lambda: 1000\n"


def run(directory: Path, names: str, *, strict: bool, root: bool = True) -> tuple[int, str]:
    """Exit status and output of pytest for the named cases, under the suite's own rules."""
    (directory / "test_cases.py").write_text(CASES)
    (directory / "conftest.py").write_text("" if root else NOT_ROOT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-o",
        "markers=root: x\npython312: x",
    ]
    done = subprocess.run(
        [*command, f"--rootdir={directory}", "-k", names, str(directory)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "UNISONO_NO_SKIPS": "1" if strict else ""},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("case", ["skipped", "expected"])
def test_what_is_not_run_in_earnest_fails_ci_only(tmp_path: Path, case: str) -> None:
    names = f"passes or {case}"
    assert run(tmp_path, names, strict=False)[0] == 0
    status, output = run(tmp_path, names, strict=True)
    assert status == 1
    assert f"no skips are allowed here, but: test_cases.py::test_{case}" in output


def test_without_root_some_tests_are_left_out_and_said_so(tmp_path: Path) -> None:
    status, output = run(tmp_path, "passes or needs", strict=False, root=False)
    assert status == 0
    assert "1 tests that need root were left out" in output
    assert "skipped" not in output
    assert run(tmp_path, "passes or needs", strict=True, root=False)[0] == 1


def test_a_clean_suite_passes_ci(tmp_path: Path) -> None:
    assert run(tmp_path, "passes", strict=True)[0] == 0
