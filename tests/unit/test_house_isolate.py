"""The LAN in a box: planned purely, and built for real (root)."""

import errno
import ipaddress
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.cli.demo import command, isolate
from services.cli.demo.film import Film
from services.cli.demo.options import Options
from unisono.runtime import UserError

CLOCK = "import time; print(time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))"
REACH = (
    sys.executable,
    "-c",
    "import socket, sys; s = socket.socket(); s.settimeout(3);"
    "print(s.connect_ex((sys.argv[1], 9)))",
)


def test_plan_avoids_networks_in_use_and_names_fit() -> None:
    first = isolate.plan_lab(["control", "screen-1"], [], 4194304, 99)
    second = isolate.plan_lab(["control", "screen-1"], [first.network], 4194304, 99)
    assert not first.network.overlaps(second.network)
    assert len(first.outside) <= 15
    assert first.address("control") != first.address("screen-1") != first.outside_address
    assert first.namespace("screen-1") == "unisono-4194304-99-h1"


def test_plan_says_when_there_is_no_room() -> None:
    with pytest.raises(UserError, match="no free /24"):
        isolate.plan_lab(["a"], [ipaddress.IPv4Network("10.0.0.0/8")], 1, 1)


def run(command: tuple[str, ...]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.root
def test_hosts_reach_each_other_have_their_own_clocks_and_nothing_stays() -> None:
    lab = isolate.build_lab(["control", "one", "two"])
    try:
        refused = f"{errno.ECONNREFUSED}\n"  # so the packet got there, and the answer back
        assert run(lab.wrap("one", (*REACH, lab.address("two")), 0)) == refused
        assert run((*REACH, lab.address("control"))) == refused
        here = [int(word) for word in run((sys.executable, "-c", CLOCK)).split()]
        there = [int(w) for w in run(lab.wrap("one", (sys.executable, "-c", CLOCK), 5000)).split()]
        for ours, theirs in zip(here, there, strict=True):
            assert 5000 <= (theirs - ours) / 1e9 < 5060
    finally:
        isolate.remove_lab(lab.owner)
    assert lab.owner not in run(("ip", "netns", "list"))
    assert lab.outside not in run(("ip", "link"))


@pytest.mark.root
def test_only_what_dead_demos_left_is_stale() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = f"unisono-{dead.pid}-1"
    lab = isolate.build_lab(["one"])
    try:
        run(("ip", "netns", "add", f"{stale}-switch"))
        assert stale in isolate.remove_stale_labs()
        names = run(("ip", "netns", "list"))
        assert lab.owner in names
        assert stale not in names
        assert str(os.getpid()) in lab.owner
    finally:
        isolate.remove_lab(lab.owner)


@pytest.mark.root
def test_a_demo_removes_what_killed_ones_left_and_nothing_of_the_living(
    monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    def no_lab(_hosts: object) -> isolate.Lab:
        raise UserError("no lab in this test")

    dead = "unisono-999999999-1-switch"  # no process has so high a number
    living = isolate.build_lab(["control"])
    try:
        run(("ip", "netns", "add", dead))
        monkeypatch.setattr(command, "build_lab", no_lab)
        with pytest.raises(UserError, match="no lab"), ExitStack() as ending:
            command._run_show(Options(isolate=True), short_dir, Film(None, 1000.0), ending)
        assert not (isolate.NETNS_DIR / dead).exists()
        assert (isolate.NETNS_DIR / living.switch).exists()
    finally:
        isolate.remove_lab(living.owner)
