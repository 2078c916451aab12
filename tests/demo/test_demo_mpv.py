"""The whole site with real players, their clocks apart where we may; and what it survives."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from tests.demo.running import Demo, running
from tests.support.rights import can_make_namespaces
from tests.support.waiting import until_sync

SERVICES = ("cloud-bridge", "beacon", "corrector", "exporter")
# The picture of a player that was seeking, paused or reloading lags behind by far more.
PICTURE_GAP_S = 0.25


def ask(path: Path, name: str) -> Any:
    """A property of an mpv, over its own socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(path))
        link.sendall(json.dumps({"command": ["get_property", name], "request_id": 7}).encode())
        link.sendall(b"\n")
        with link.makefile("rb") as lines:
            for line in lines:
                answer = json.loads(line)
                if answer.get("request_id") == 7:
                    return answer.get("data")
    raise ConnectionResetError(name)


def test_real_players_in_unison_and_any_process_may_die(short_dir: Path) -> None:
    isolate = ["--isolate"] if can_make_namespaces() else []
    with running(short_dir, "--devices", "2", *isolate) as demo:
        demo.wait_for("playing | 2 of 2 in lan mode", limit_s=60)
        player = demo.run_dir / "screen-2" / "mpv.sock"
        began_s, position_s = time.monotonic(), ask(player, "time-pos")
        for device_id in ("screen-2", "screen-1"):
            for service in SERVICES:
                kill_and_await(demo, device_id, service)
                assert ask(player, "pause") is False
        passed_s = ask(player, "time-pos") - position_s
        assert abs(passed_s - (time.monotonic() - began_s)) < PICTURE_GAP_S
        wait_for_fresh_lan(demo)
        assert demo.end(signal.SIGINT) == 0, demo.output
        assert demo.leftovers() == []
    for device in demo.report["devices"]:
        assert device["drift_ms"]["p95"] <= 50
        assert device["mode_seconds"]["lan"] > 5


def kill_and_await(demo: Demo, device_id: str, service: str) -> None:
    """Kill one process of a device with SIGKILL, and wait until another has taken its place."""
    word = f"unisono-{service}"
    before = demo.pid_of(device_id, word)
    assert before is not None, f"{word} does not run"
    os.kill(before, signal.SIGKILL)
    until_sync(lambda: demo.pid_of(device_id, word) not in (None, before), 20)


def wait_for_fresh_lan(demo: Demo) -> None:
    """Until all devices are in lan mode in a line printed from now on, 6 s of samples later."""
    printed = len(demo.output)
    until_sync(lambda: demo.output[printed:].count("playing | 2 of 2 in lan mode") >= 2, 40)
