"""`unisono`'s small commands, as people type them; the control plane behind them is real."""

import contextlib
import io
import json
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.cli import flags
from services.cli.doctor import clock_finding, examine, read_clock
from services.cli.enroll import find_token
from services.cli.main import main
from tests.support.redis_server import RedisServer
from unisono.runtime import UserError

TOKEN = "operator-token-of-a-test"


@pytest.fixture
def control_url(redis_server: RedisServer, short_dir: Path) -> Iterator[str]:
    """A control plane of its own process."""
    redis_server.flush()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "services.control_plane.main", "--port", str(port)]
    command += ["--redis-url", redis_server.url_of(5)]
    environment = {"UNISONO_CONTROL_OPERATOR_TOKEN": TOKEN, "PATH": "/usr/bin"}
    with (short_dir / "control.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{url}/healthz", trust_env=False)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def token_of(url: str) -> str:
    reply = httpx.post(
        f"{url}/v1/sites/lobby/enroll-tokens",
        json={},
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
    )
    return str(reply.json()["tokens"][0])


def test_enroll_once_then_session_refusals(
    control_url: str,
    short_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNISONO_OPERATOR_TOKEN", TOKEN)
    target, token = short_dir / "device.env", token_of(control_url)
    words = ["enroll", "--control", control_url, "--token", token, "--device-id", "left"]
    target.write_text("old and readable by all")
    assert main([*words, "--env-file", str(target)]) == 0
    values = dict(line.split("=", 1) for line in target.read_text().splitlines())
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert values["UNISONO_DEVICE_ID"] == "left"
    assert values["UNISONO_SITE"] == "lobby"
    assert values["UNISONO_DEVICE_SECRET"]

    assert main(words) == 2  # the token is spent
    assert one_line(capsys).startswith("unisono enroll: ")

    assert main(["session", "show", "lobby-0011223344", "--control", control_url]) == 2
    assert "lobby-0011223344" in one_line(capsys)

    monkeypatch.setenv("UNISONO_OPERATOR_TOKEN", "not the operators' token")
    assert main(["session", "stop", "lobby-0011223344", "--control", control_url]) == 2
    assert one_line(capsys)


@pytest.mark.parametrize(
    ("given", "variable", "typed", "token"),
    [
        ("a", "b", "c\n", "a"),
        (None, "b", "c\n", "b"),
        ("-", "b", "c\n", "c"),
        (None, "", "c\n", "UNISONO_ENROLL_TOKEN"),
        ("-", "b", "", "standard input holds no token"),
    ],
)
def test_a_token_need_not_stand_where_every_user_sees_it(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str, typed: str, token: str
) -> None:
    monkeypatch.setenv("UNISONO_ENROLL_TOKEN", variable)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    if len(token) == 1:
        assert find_token(given) == token
        return
    with pytest.raises(UserError, match=token):
        find_token(given)


@pytest.mark.parametrize(
    ("package", "main", "words", "sentence"),
    [
        ("rich", "cli.main", ["demo"], r"unisono demo: .*: rich\. .*unisono\[demo\]"),
        ("uvicorn", "cli.main", ["demo"], r"unisono demo: .*: uvicorn\. .*unisono\[demo\]"),
        ("fastapi", "control_plane.entry", [], r": fastapi\. .*unisono\[control\]"),
    ],
)
def test_an_extra_that_is_not_installed_is_one_sentence(
    package: str, main: str, words: list[str], sentence: str
) -> None:
    lines = (
        "import sys",
        f"sys.modules[{package!r}] = None",  # as if it were not installed
        f"from services.{main} import main",
        "sys.exit(main())",
    )
    command = [sys.executable, "-c", "\n".join(lines), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search(sentence, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert "Traceback" not in error
    return error


def test_a_control_plane_that_is_not_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str], short_dir: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["session", "show", "x-1", "--control", url]) == 2
    assert f"the control plane at {url} does not answer" in one_line(capsys)
    assert main(["enroll", "--control", url, "--token", "t", "--env-file", "/no/dir/f"]) == 2
    assert "its directory does not exist" in one_line(capsys)
    assert main(["enroll", "--control", "not a url", "--token", "t"]) == 2
    assert one_line(capsys)


def test_flags_page_is_up_to_date_and_names_every_flag() -> None:
    page = flags.page()
    root = Path(__file__).parents[2]
    assert (root / "docs" / "flags.md").read_text(encoding="utf-8") == page, "run make docs"
    assert "| `SYNC_LAN_ENABLED` | 0 |" in page
    assert "| `UNISONO_BEACON_PORT` | 7600 |" in page


def test_doctor_looks_at_every_part() -> None:
    parts = {finding.part: finding for finding in examine()}
    assert set(parts) == {"python", "mpv", "ffmpeg", "redis", "zmq", "clock"}
    assert all(finding.good for finding in parts.values() if finding.needed)


def test_doctor_reads_the_kernels_word_on_the_clock() -> None:
    max_error_us, likely_error_us = read_clock()
    assert 0 <= likely_error_us <= max_error_us
    assert not clock_finding(16_000_000, 16_000_000).good
    assert not clock_finding(400_000, 1_000).good
    assert clock_finding(4_000, 100).good


def test_start_up_loads_no_more_than_the_command_needs() -> None:
    code = (
        "import json, sys\n"
        "from services.cli.main import main\n"
        "main(['flags'])\n"
        "print(json.dumps(sorted(set(sys.modules) & {'httpx', 'rich', 'zmq', 'fastapi', 'redis'})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
