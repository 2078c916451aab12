"""The demo's plan and the checks of its options."""

import argparse
import itertools
import os
import socket
from pathlib import Path

import pytest

from services.cli.demo import options, plan
from services.cli.demo.leftovers import hold
from services.cli.demo.options import Options
from services.cli.lab.namespaces import plan_lab
from services.cli.main import _parser, main
from unisono.config import load_flags, load_settings
from unisono.runtime import UserError


def shared(devices: int) -> plan.SitePlan:
    return plan.plan_site(Path("/r"), devices, lab=None, free_ports=itertools.count(40_000))


def in_lab(devices: int) -> plan.SitePlan:
    lab = plan_lab(plan.hosts(devices), [], 77, 1)
    return plan.plan_site(Path("/r"), devices, lab=lab, free_ports=iter(()))


def test_on_one_machine_no_two_parts_share_a_port() -> None:
    site = shared(3)
    ports = [site.control_port, site.udp_port]
    for device in site.devices:
        ports += [device.beacon_port, device.probe_port, device.exporter_port]
    assert len(set(ports)) == len(ports) == plan.ports_needed(3, 0)


def test_in_a_lab_devices_share_neither_address_nor_clock() -> None:
    site = in_lab(3)
    addresses = {device.address for device in site.devices} | {site.control_address}
    offsets = {device.clock_offset_s for device in site.devices}
    assert len(addresses) == 4
    assert len(offsets) == 3
    assert min(offsets) > 60
    assert {device.beacon_port for device in site.devices} == {7600}


@pytest.mark.parametrize("site", [shared(2), in_lab(2)], ids=["shared", "lab"])
def test_what_devices_are_told_is_what_their_settings_accept(site: plan.SitePlan) -> None:
    seen = set()
    for device in site.devices:
        environment = plan.device_environment(site, device)
        settings = load_settings(environment)
        assert load_flags(environment).lan_enabled
        assert settings.player_socket_path == device.player_socket
        assert settings.control_url == site.control_url
        seen.add((settings.device_id, settings.run_dir, settings.redis_url))
    assert len(seen) == 2


def test_windows_of_a_wall_fill_the_grid_row_by_row() -> None:
    windows = [plan.wall_window(number, 2, (640, 360)) for number in range(4)]
    assert [(window.x, window.y) for window in windows] == [(0, 0), (640, 0), (0, 360), (640, 360)]
    assert {(window.width, window.height) for window in windows} == {(640, 360)}


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (Options(devices=0), "--devices 0: use 1 to 32"),
        (Options(devices=33), "--devices 33"),
        (Options(seconds=-1), "--seconds -1: use more than 5"),
        (Options(seconds=5), "--seconds 5: use more than 5, as drift counts from 5 s after the"),
        (Options(seconds=float("nan")), "--seconds nan: leave it out"),
        (Options(player="vlc"), "--player vlc: use mpv or sim"),
        (Options(media=Path("/no/film.mp4")), "/no/film.mp4: there is no such file"),
        (Options(media=Path("/tmp")), "--media /tmp: a directory, not a file"),
        (Options(media=Path("/tmp/" + "x" * 300)), "x: File name too long"),
        (Options(media=Path("http://host/f.mp4")), "http://host/f.mp4: a local file is needed"),
        (Options(devices=4, wall=(3, 1)), "3x1 has fewer cells than the 4 devices"),
        (Options(report=Path("/no/where/r.json")), "its directory does not exist"),
        (Options(report=Path("/dev/null/r.json")), "its directory does not exist"),
        (Options(report=Path("/" + "x" * 300) / "r.json"), "File name too long"),
        (Options(report=Path("/tmp")), "--report /tmp: a directory, not a file"),
        (Options(flags={"SYNC_LAN_BEACON_HZ": "900"}), "SYNC_LAN_BEACON_HZ=900"),
        (
            Options(flags={"SYNC_LAN_ENABLE": "1"}),
            "SYNC_LAN_ENABLE is set, but there is no such flag: did you mean SYNC_LAN_ENABLED",
        ),
        (Options(flags={"SYNC_lan_enabled": "1"}), "did you mean SYNC_LAN_ENABLED"),
        (Options(flags={"SYNC_QQQQ": ""}), "no such flag: docs/flags.md lists all; else unset it"),
        (Options(port=70_000), "--port 70000"),
        (
            Options(net="wifi-bda", isolate=True),
            "--net wifi-bda: there is no such profile; did you",
        ),
        (Options(net="Wired", isolate=True), "did you mean wired"),
        (Options(net="qqqq"), "no such profile; --net list shows them all"),
        (Options(net="wired"), "--net wired: only devices with networks of their own .* --isolate"),
        (Options(seed=2, isolate=True), "--seed 2: it is for the dice of --net"),
    ],
)
def test_what_cannot_work_is_one_sentence(bad: Options, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        options.check(bad)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: Address already in use"):
            options.check(Options(player="sim", port=port))


def test_a_report_that_cannot_be_written_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    there = short_dir / "there.json"
    there.touch()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # as for another user
    for path in (there, short_dir / "new.json"):
        with pytest.raises(UserError, match=f"--report {path}: not writable"):
            options.check(Options(player="sim", report=path))


def test_isolate_without_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="needs root"):
        options.check(Options(isolate=True))


def test_a_tool_that_is_missing_is_named_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    monkeypatch.setenv("PATH", str(short_dir))
    with pytest.raises(UserError, match=r"install mpv ffmpeg \(or use --player sim\)"):
        options.check(Options())
    options.check(Options(player="sim"))


def test_run_directory_too_long_for_sockets(short_dir: Path) -> None:
    with pytest.raises(UserError, match="too long for the unix sockets"):
        options.make_run_dir(Options(run_dir=short_dir / ("x" * 80)))
    assert options.make_run_dir(Options(run_dir=short_dir / "a" / "b")).is_dir()


def test_run_directory_serves_one_demo_at_a_time(short_dir: Path) -> None:
    with hold(short_dir), pytest.raises(UserError, match="another demo"), hold(short_dir):
        pass
    with hold(short_dir):
        pass


def test_pairs_are_two_numbers_above_nought() -> None:
    assert options.pair("--wall", "3x1") == (3, 1)
    assert options.pair("--cell", "640X360") == (640, 360)


@pytest.mark.parametrize("bad", ["3", "x", "0x1", "-1x2", "axb", "3x1x1", "9999999x1"])
def test_anything_else_is_no_pair(bad: str) -> None:
    with pytest.raises(UserError, match=f"--wall {bad}: use two whole numbers"):
        options.pair("--wall", bad)


def test_the_demo_takes_every_option_of_its_page() -> None:
    words = (
        "demo --devices 2 --seconds 6 --media f --player sim --run-dir d --report r --isolate "
        "--net wired --seed 3 --wall 3x1 --cell 640x360"
    )
    arguments: argparse.Namespace = _parser().parse_args(words.split())
    assert (arguments.devices, arguments.seconds, arguments.isolate) == (2, 6.0, True)
    assert (arguments.net, arguments.seed) == ("wired", 3)


def test_networks_are_listed_with_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--net", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [bad] = [line for line in lines if line.startswith("wifi-bad ")]
    for figure in ("5 ms mean exponential", "1 % spikes up to 100 ms", "5 % loss", "40 ± 15 ms"):
        assert figure in bad
    [lopsided] = [line for line in lines if line.startswith("asymmetric ")]
    assert "0.2 ms; from all but the first 4 ms" in lopsided
