"""Hosts in namespaces: planned purely, and built for real on a bridge (root)."""

import errno
import ipaddress
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.cli.demo import command
from services.cli.demo.film import Film
from services.cli.demo.options import Options
from services.cli.lab import namespaces
from services.cli.lab.control import SOCKET_NAME, LabControl
from services.cli.lab.iproute import LabError
from services.cli.lab.namespaces import Lab, bridged, plan_lab
from services.cli.lab.tap import NETNS_DIR
from tests.support.waiting import alive, until_sync
from unisono.runtime import UserError

CLOCK = "import time; print(time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))"
REACH = (
    sys.executable,
    "-c",
    "import socket, sys; s = socket.socket(); s.settimeout(3);"
    "print(s.connect_ex((sys.argv[1], 9)))",
)


def test_plan_avoids_networks_in_use_and_names_fit() -> None:
    first = plan_lab(["control", "screen-1"], [], 4194304, 99)
    second = plan_lab(["control", "screen-1"], [first.network], 4194304, 99)
    assert not first.network.overlaps(second.network)
    assert len(first.outside) <= 15
    assert first.address("control") != first.address("screen-1") != first.outside_address
    assert first.namespace("screen-1") == "unisono-4194304-99-h1"


def test_plan_says_when_there_is_no_room() -> None:
    with pytest.raises(UserError, match="no free /24"):
        plan_lab(["a"], [ipaddress.IPv4Network("10.0.0.0/8")], 1, 1)


def run(command: tuple[str, ...]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.root
def test_hosts_reach_each_other_have_their_own_clocks_and_nothing_stays() -> None:
    with bridged(["control", "one", "two"]) as lab:
        refused = f"{errno.ECONNREFUSED}\n"  # so the packet got there, and the answer back
        assert run(lab.wrap("one", (*REACH, lab.address("two")), 0)) == refused
        assert run((*REACH, lab.address("control"))) == refused
        here = [int(word) for word in run((sys.executable, "-c", CLOCK)).split()]
        there = [int(w) for w in run(lab.wrap("one", (sys.executable, "-c", CLOCK), 5000)).split()]
        for ours, theirs in zip(here, there, strict=True):
            assert 5000 <= (theirs - ours) / 1e9 < 5060
    assert lab.owner not in run(("ip", "netns", "list"))
    assert lab.outside not in run(("ip", "link"))


@pytest.mark.root
def test_only_what_dead_demos_left_is_stale() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = f"unisono-{dead.pid}-1"
    with bridged(["one"]) as lab:
        run(("ip", "netns", "add", f"{stale}-bridge"))
        assert stale in namespaces.remove_stale_labs()
        names = run(("ip", "netns", "list"))
        assert lab.owner in names
        assert stale not in names
        assert str(os.getpid()) in lab.owner
        with pytest.raises(UserError, match="has a lab already"), bridged(["two"]):
            pass
        assert lab.owner in run(("ip", "netns", "list"))


@pytest.mark.root
def test_a_demo_removes_what_killed_ones_left_and_nothing_of_the_living(
    monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    def no_lab(_hosts: object) -> Lab:
        raise UserError("no lab in this test")

    dead = "unisono-999999999-1-bridge"  # no process has so high a number
    with bridged(["control"]) as living:
        run(("ip", "netns", "add", dead))
        monkeypatch.setattr(command, "bridged", no_lab)
        with pytest.raises(UserError, match="no lab"), ExitStack() as ending:
            command._run_show(Options(isolate=True), short_dir, Film(None, 1000.0), ending)
        assert not (NETNS_DIR / dead).exists()
        assert (NETNS_DIR / living.bridge).exists()


@pytest.mark.root
def test_a_demo_with_a_profile_has_a_switch_and_tells_what_it_did(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Options(devices=2, isolate=True, net="asymmetric")
    with ExitStack() as ending:
        lab = command._open_lab(asked, short_dir, ending)
        assert lab == LabControl.attach(short_dir / SOCKET_NAME).lab
        reached = run(lab.wrap("screen-1", (*REACH, lab.address("screen-2")), 0))
        assert reached == f"{errno.ECONNREFUSED}\n"
    assert re.search(
        r"network: \d+ frames carried, \d+ lost; .* us \(p99\)", capsys.readouterr().out
    )


@pytest.mark.root
def test_a_switch_that_died_is_told_of_with_its_log(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as ending:
        command._open_lab(Options(devices=1, isolate=True, net="wired"), short_dir, ending)
        task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        [switch] = [
            pid
            for pid in map(int, task.read_text().split())
            if b"services.cli.lab.switch" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(switch, signal.SIGKILL)
        until_sync(lambda: not alive(switch))
    assert f"its log is {short_dir}/switch.log" in capsys.readouterr().err
    assert [path.name for path in short_dir.iterdir()] == ["switch.log"]


def test_a_host_that_there_is_not_is_told() -> None:
    lab = plan_lab(["control", "screen-1"], [], 7, 8)
    for asked in (lab.address, lab.namespace, lab.spare_address):
        with pytest.raises(LabError, match="screen-9: no such host; there are control, screen-1"):
            asked("screen-9")
