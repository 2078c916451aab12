"""Bad input to any program: one sentence on standard error, status 2, never a traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DEVICE_PROCESSES = (
    "unisono-beacon",
    "unisono-corrector",
    "unisono-cloud-bridge",
    "unisono-exporter",
)
WITH_FLAGS = DEVICE_PROCESSES[:3]
ADMIN = {"UNISONO_CONTROL_ADMIN_TOKEN": "long-enough-for-a-test"}
FILE_IN_THE_WAY = "in-the-way"


def run_all(
    programs: Sequence[str], *words: str, env: Mapping[str, str] | None = None
) -> dict[str, tuple[int, list[str]]]:
    """Status and lines on standard error of programs that must end by themselves, run at once."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("UNISONO_", "SYNC_"))
    }
    children = {
        program: subprocess.Popen(
            [str(BIN / program), *words],
            env={**inherited, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for program in programs
    }
    found = {}
    for program, child in children.items():
        try:
            _, said = child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
            _, said = child.communicate()
        found[program] = (child.returncode, said.splitlines())
    return found


def run(program: str, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, list[str]]:
    """`run_all` of one program."""
    return run_all((program,), *words, env=env)[program]


def assert_one_sentence(outcome: tuple[int, list[str]], *expected: str) -> None:
    status, lines = outcome
    assert len(lines) == 1, lines
    assert status == 2, lines
    assert "Traceback" not in lines[0]
    for part in expected:
        assert part in lines[0]


@pytest.fixture
def device(short_dir: Path) -> dict[str, str]:
    """Settings of a device that would run; tests spoil one of them."""
    return {
        "UNISONO_DEVICE_ID": "screen-1",
        "UNISONO_DEVICE_SECRET": f"lobby.not-real.{'5e' * 32}",
        "UNISONO_RUN_DIR": str(short_dir),
        "UNISONO_REDIS_URL": f"unix://{short_dir}/redis.sock?db=0",
        "UNISONO_EXPORTER_PORT": "1",
    }


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port: int = listening.getsockname()[1]
        yield port


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("UNISONO_DEVICE_ID", "", "enrol this device"),
        ("UNISONO_EXPORTER_PORT", "banana", "use a whole number"),
        ("UNISONO_RUN_DIR", "/tmp/" + "long" * 30, "too long for a unix socket"),
    ],
)
def test_unfit_settings(name: str, value: str, expected: str, device: dict[str, str]) -> None:
    for outcome in run_all(DEVICE_PROCESSES, env=device | {name: value}).values():
        assert_one_sentence(outcome, name, expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("UNISONO_BEACON_PORT", "70000", "use a value from 1 to 65535"),
        ("UNISONO_LOG_LEVEL", "loud", "use one of debug, info, warning, error"),
    ],
)
def test_values_out_of_range(name: str, value: str, expected: str, device: dict[str, str]) -> None:
    # One table serves them all: one process is enough.
    assert_one_sentence(run("unisono-exporter", env=device | {name: value}), name, expected)


def test_unfit_flags(device: dict[str, str]) -> None:
    for outcome in run_all(WITH_FLAGS, env=device | {"SYNC_LAN_BEACON_HZ": "500"}).values():
        assert_one_sentence(outcome, "SYNC_LAN_BEACON_HZ=500", "1 to 50 Hz")


def test_a_run_dir_that_cannot_be_made(device: dict[str, str], short_dir: Path) -> None:
    obstacle = short_dir / FILE_IN_THE_WAY
    obstacle.touch()
    for outcome in run_all(
        DEVICE_PROCESSES, env=device | {"UNISONO_RUN_DIR": str(obstacle)}
    ).values():
        assert_one_sentence(outcome, str(obstacle))


def test_a_redis_address_that_is_none(device: dict[str, str]) -> None:
    for outcome in run_all(
        WITH_FLAGS, env=device | {"UNISONO_REDIS_URL": "ftp://nowhere"}
    ).values():
        assert_one_sentence(outcome, "ftp://nowhere", "use unix://")


def test_cloud_bridge_without_a_secret(device: dict[str, str]) -> None:
    outcome = run("unisono-cloud-bridge", env=device | {"UNISONO_DEVICE_SECRET": ""})
    assert_one_sentence(outcome, "UNISONO_DEVICE_SECRET", "enrol this device")


def test_cloud_bridge_with_a_secret_file_that_is_not_there(
    device: dict[str, str], short_dir: Path
) -> None:
    missing = {"UNISONO_DEVICE_SECRET": "", "UNISONO_DEVICE_SECRET_FILE": f"{short_dir}/none"}
    outcome = run("unisono-cloud-bridge", env=device | missing)
    assert_one_sentence(outcome, f"{short_dir}/none", "No such file")


def test_cloud_bridge_with_an_address_that_is_none(device: dict[str, str]) -> None:
    outcome = run("unisono-cloud-bridge", env=device | {"UNISONO_CONTROL_URL": "vercel"})
    assert_one_sentence(outcome, "UNISONO_CONTROL_URL")


def test_beacon_waits_for_an_interface_that_is_not_there_yet(device: dict[str, str]) -> None:
    """A USB adapter, or an address that DHCP has yet to give, is no reason to end."""
    child = subprocess.Popen(
        [str(BIN / "unisono-beacon")],
        env={**device, "SYNC_LAN_ENABLED": "1", "UNISONO_LAN_INTERFACE": "nosuchnic0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    with child:
        said = child.stderr.readline()
        assert "going on from memory" in child.stderr.readline()  # it has begun its work
        child.terminate()
        assert child.wait(10) == 0
    assert "nosuchnic0" in said
    assert "waiting for it" in said


def test_beacon_ports_that_plain_datagrams_and_pgm_would_share(device: dict[str, str]) -> None:
    spoilt = {"UNISONO_UDP_PORT": "7602", "UNISONO_MULTICAST_PORT": "7602"}
    outcome = run("unisono-beacon", env=device | spoilt | {"SYNC_LAN_ENABLED": "1"})
    assert_one_sentence(outcome, "UNISONO_UDP_PORT", "7602")


def test_exporter_port_in_use(device: dict[str, str], taken_port: int) -> None:
    outcome = run("unisono-exporter", env=device | {"UNISONO_EXPORTER_PORT": str(taken_port)})
    assert_one_sentence(outcome, f"127.0.0.1:{taken_port}", "UNISONO_EXPORTER_PORT")


def test_control_plane_port_in_use(taken_port: int, redis_url: str) -> None:
    words = ("--host", "127.0.0.1", "--port", str(taken_port), "--redis-url", redis_url)
    assert_one_sentence(run("unisono-control-plane", *words, env=ADMIN), f"127.0.0.1:{taken_port}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--port", "banana"), "UNISONO_CONTROL_PORT=banana"),
        (("--port", "70000"), "UNISONO_CONTROL_PORT=70000"),
        (("--host", "192.0.2.1", "--port", "0"), "192.0.2.1:0"),
        (("--port", "0", "--redis-url", "ftp://nowhere"), "ftp://nowhere"),
        (("--port", "0", "--redis-url", "unix:///tmp/no-such-redis.sock"), "no-such-redis.sock"),
    ],
)
def test_control_plane_options(words: Sequence[str], expected: str) -> None:
    assert_one_sentence(run("unisono-control-plane", *words, env=ADMIN), expected)


def test_control_plane_without_a_secret_for_administrators() -> None:
    assert_one_sentence(run("unisono-control-plane"), "UNISONO_CONTROL_ADMIN_TOKEN")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--devices", "0"), "use 1 to"),
        (("--seconds", "3"), "use more than 5"),
        (("--seconds", "nan"), "leave it out"),
        (("--player", "vlc"), "use mpv or sim"),
        (("--media", "/no/such/film.mkv"), "/no/such/film.mkv"),
        (("--run-dir", "/tmp/" + "long" * 30), "choose a shorter one"),
        (("--report", "/no/such/dir/r.json"), "does not exist"),
        (("--port", "70000"), "use 1 to 65535"),
        (("--wall", "1x1"), "fewer cells"),
    ],
)
def test_demo_options(words: Sequence[str], expected: str) -> None:
    assert_one_sentence(run("unisono", "demo", *words), words[0], expected)


def test_demo_port_in_use(taken_port: int) -> None:
    outcome = run("unisono", "demo", "--port", str(taken_port))
    assert_one_sentence(outcome, f"--port {taken_port}", "choose another")


def test_a_film_that_is_none(short_dir: Path) -> None:
    text = short_dir / "film.mkv"
    text.write_text("this is no film\n")
    outcome = run("unisono", "demo", "--media", str(text), "--run-dir", str(short_dir / "run"))
    assert_one_sentence(outcome, str(text))


def test_a_control_plane_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        outcome = run("unisono", "session", "show", "s1", "--control", url)
    assert_one_sentence(outcome, url)
