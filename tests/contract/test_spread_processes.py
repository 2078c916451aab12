"""The benchmark of processes against a real one, and the words it knows them by."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import main as bench
from benchmarks.processes import find_processes, main, read_process, service_of


@pytest.fixture
def run_dir(short_dir: Path) -> Iterator[Path]:
    """The run directory of a demo whose only process is the exporter of screen-1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "UNISONO_DEVICE_ID": "screen-1",
        "UNISONO_RUN_DIR": str(short_dir / "screen-1"),
        "UNISONO_EXPORTER_PORT": str(port),
    }
    command = [sys.executable, "-m", "services.exporter.main"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE) as child:
        # Python has started once it has made the bus's directory.
        while not (short_dir / "screen-1" / "bus").is_dir():
            assert child.poll() is None
        yield short_dir
        child.terminate()
        child.communicate()


@pytest.mark.parametrize(
    ("command", "service"),
    [
        (["/usr/bin/python3", "/venv/bin/unisono-cloud-bridge"], "cloud-bridge"),
        (["python3.11", "-m", "services.cloud_bridge.main"], "cloud-bridge"),
        (["python", "/venv/bin/unisono-beacon", "--x"], "beacon"),
        (["unshare", "--time", "--", "python", "/venv/bin/unisono-beacon"], None),
        (["python", "/venv/bin/unisono-control-plane"], None),
        (["mpv", "services.beacon.main"], None),
        ([""], None),
    ],
)
def test_a_service_is_known_by_its_command(command: list[str], service: str | None) -> None:
    assert service_of(command) == service


def test_a_real_process_is_found_and_measured(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_processes(run_dir)
    assert set(found.values()) == {("screen-1", "exporter")}
    (pid,) = found
    process = read_process(pid)
    assert process is not None
    assert process.parent == os.getpid()
    assert 5 < process.pss_mb <= process.rss_mb < 200
    target = run_dir / "r.json"
    assert main(["--run-dir", str(run_dir), "--seconds", "0.3", "--json", str(target)]) == 0
    (row,) = json.loads(target.read_text())["rows"]
    assert (row["device_id"], row["service"]) == ("screen-1", "exporter")
    assert 0 <= row["cpu_pct"] < 200
    assert "design target" in capsys.readouterr().out


def test_no_processes_is_one_sentence(short_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run-dir", str(short_dir), "--seconds", "0.1"]) == 2
    assert "is a demo running?" in capsys.readouterr().err


def test_the_list_and_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["--list"]) == 0
    assert bench(["speed"]) == 2
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()][:3] == ["spread", "processes", "clock"]
    assert err.startswith("benchmarks: no speed here, only spread, processes, clock,")
