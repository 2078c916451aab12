"""The whole site with simulated players: the chain, the report, and how it ends."""

import re
import signal
import socket
from pathlib import Path

import httpx
import pytest

from services.cli.lab.namespaces import remove_stale_labs
from services.cli.main import main
from tests.demo.running import running
from tests.support.waiting import until_sync

SIM = ("--player", "sim", "--devices", "2")


def test_a_short_show_ends_in_unison_with_a_report(short_dir: Path) -> None:
    with running(short_dir, *SIM, "--seconds", "6.5") as demo:
        demo.wait_for("playing |")
        assert demo.end() == 0, demo.output
        assert demo.leftovers() == []
    report = demo.report
    assert report["schema"] == 1
    assert report["seconds"] >= 6.5
    assert abs(report["session"]["start_error_ms"]) < 1000
    assert [device["role"] for device in report["devices"]] == ["master", "follower"]
    for device in report["devices"]:
        assert device["mode"] == "lan"
        assert device["drift_ms"]["p95"] <= 50
        assert set(device["processes"]) == {
            "player", "cloud-bridge", "beacon", "corrector", "exporter",
        }  # fmt: skip
    assert report["devices"][1]["beacons"]["received"] > 0
    assert report["cloud"]["requests"]["heartbeat"] > 0
    assert (demo.run_dir / "screen-1" / "corrector.log").exists()


def test_sigterm_stops_the_session_and_leaves_nothing(short_dir: Path) -> None:
    with running(short_dir, *SIM) as demo:
        demo.wait_for("playing |")
        page = re.search(r"^page +(\S+)/  log in as (\S+), password (\S+)$", demo.output, re.M)
        assert page is not None, demo.output
        who = {"name": page[2], "password": page[3]}
        assert (
            httpx.post(f"{page[1]}/v1/login", json=who, trust_env=False).json()["role"] == "admin"
        )
        demo.end(signal.SIGTERM)
        assert len(demo.seen) >= 12
        assert demo.leftovers() == []
    log = (demo.run_dir / "screen-2" / "cloud-bridge.log").read_text()
    assert "SYNC_STOP" in log
    assert demo.report["session"]["id"]


def test_a_signal_before_the_start_leaves_nothing_either(short_dir: Path) -> None:
    with running(short_dir, *SIM) as demo:
        demo.wait_for("starting |")
        assert demo.end(signal.SIGTERM) == 1
        assert "stopped before the session could start" in demo.output
        assert demo.leftovers() == []
    assert not demo.report_path.exists()


@pytest.mark.root
def test_isolated_devices_agree_and_a_killed_demo_is_tidied_up_by_clean(
    short_dir: Path, tmp_path: Path
) -> None:
    with running(short_dir, *SIM, "--isolate") as demo:
        demo.wait_for("2 of 2 in lan mode")
        demo.end(signal.SIGKILL)
        # The kernel ends the processes; the namespaces wait for whoever tidies up.
        until_sync(lambda: not [name for name in demo.leftovers() if name.startswith("process")])
        assert demo.leftovers() != []
        remove_stale_labs()
        until_sync(lambda: not any("unisono-" in name for name in demo.leftovers()))


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert main(["demo", "--player", "sim", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"unisono demo: --port {port}: Address already in use; choose another, or leave it out\n"
    )


def test_a_film_that_is_none_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a film")
    assert main(["demo", "--media", str(text)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"unisono demo: {text}: not a film")
    assert error.count(str(text)) == 1
    assert error.count("\n") == 1
