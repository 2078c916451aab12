"""Names for a boot and for a clock: the same while it runs on, another when it begins again."""

import subprocess
import sys
from pathlib import Path

import pytest

from unisono.runtime.boot import clock_id

PRINT_IT = "from unisono.runtime.boot import clock_id; print(clock_id().hex())"


def elsewhere(*under: str) -> str:
    """The name of the clock of another process."""
    command = [*under, sys.executable, "-c", PRINT_IT]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_processes_of_one_boot_name_their_clock_alike() -> None:
    assert len(clock_id()) == 8
    assert elsewhere() == clock_id().hex()


def test_another_boot_another_namespace_and_another_offset_are_other_clocks(tmp_path: Path) -> None:
    for name, text in (("boot", "one"), ("reboot", "two"), ("off", "monotonic 5 0")):
        (tmp_path / name).write_text(text)
    (tmp_path / "ns").symlink_to("time:[1]")
    (tmp_path / "ns2").symlink_to("time:[2]")
    none = tmp_path / "none"

    def named(boot: str, namespace: str, offsets: str) -> bytes:
        return clock_id(tmp_path / boot, tmp_path / namespace, tmp_path / offsets)

    first = named("boot", "ns", "none")
    assert named("boot", "ns", "none") == first
    others = {
        named("reboot", "ns", "none"),
        named("boot", "ns2", "none"),
        named("boot", "ns", "off"),
        named("boot", "none", "none"),  # an old kernel
    }
    assert len(others | {first}) == 5
    assert clock_id(none) == clock_id(none)  # random, once a process
    assert clock_id(none) not in others | {first}


@pytest.mark.root
def test_a_time_namespace_has_a_clock_of_its_own() -> None:
    shifted = [
        elsewhere("unshare", "--time", "--monotonic", offset, "--fork") for offset in ("100", "200")
    ]
    assert len({clock_id().hex(), *shifted}) == 3


def test_without_a_boot_id_two_processes_share_no_name() -> None:
    program = (
        "from pathlib import Path; from unisono.runtime.boot import clock_id;"
        " print(clock_id(Path('none')).hex())"
    )
    names = [subprocess.check_output([sys.executable, "-c", program]) for _ in range(2)]
    assert names[0] != names[1]
