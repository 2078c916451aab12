"""`unisono`'s small commands, as people type them; the control plane behind them is real."""

import io
import json
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import httpx
import pytest

from services.cli import flags
from services.cli.doctor import clock_finding, examine
from services.cli.enroll import find_token
from services.cli.main import main
from tests.support.control_process import ADMIN_TOKEN, OPERATOR_TOKEN, control_process
from tests.support.redis_server import RedisServer
from unisono.player.testfilm import make_test_film
from unisono.runtime import UserError
from unisono.runtime.wallclock import STA_UNSYNC, WallClock

TOKEN = OPERATOR_TOKEN


@pytest.fixture
def control_url(redis_server: RedisServer, short_dir: Path) -> Iterator[str]:
    """A control plane of its own process."""
    redis_server.flush()
    with control_process(redis_server.url_of(5), short_dir / "control.log") as url:
        yield url


def token_of(url: str) -> str:
    reply = httpx.post(
        f"{url}/v1/sites/lobby/enroll-tokens",
        json={},
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
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
    assert "; set UNISONO_OPERATOR_TOKEN or UNISONO_CONTROL_OPER" in one_line(capsys)

    monkeypatch.delenv("UNISONO_OPERATOR_TOKEN")
    monkeypatch.setenv("UNISONO_CONTROL_OPERATOR_TOKEN", TOKEN)
    assert main(["session", "stop", "lobby-0011223344", "--control", control_url]) == 2
    assert "lobby-0011223344" in one_line(capsys)


class Foreign(BaseHTTPRequestHandler):
    """Something else that listens; it keeps the paths and bodies it was sent."""

    seen: ClassVar[list[tuple[str, str]]] = []
    answer: ClassVar[tuple[int, str]] = (200, "<p>hello")

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, body.decode()))
        self.send_response(self.answer[0])
        self.end_headers()
        self.wfile.write(self.answer[1].encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that is no control plane."""
    monkeypatch.setattr(Foreign, "seen", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, "<p>hello"), "is not an Unísono control plane"),
        ((200, "{}"), "is not an Unísono control plane"),
        ((404, '{"error": "not found"}'), "is not an Unísono control plane"),
        ((502, "<p>bad gateway"), "answered 502"),
    ],
)
def test_what_is_no_control_plane_is_said_and_ids_stay_ids(
    foreign: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str],
    sentence: str,
) -> None:
    monkeypatch.setattr(Foreign, "answer", answer)
    assert main(["session", "show", "a b/../c", "--control", foreign]) == 2
    assert one_line(capsys) == f"unisono session: {foreign} {sentence}"
    assert Foreign.seen == [("/v1/sessions/a%20b%2F..%2Fc", "")]
    assert main(["session", "show", "..", "--control", foreign]) == 2
    assert one_line(capsys)


def test_session_start_asks_for_what_was_typed_and_its_errors_name_options(
    foreign: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    film = tmp_path / "film.mp4"
    make_test_film(film, seconds=0.5, size="64x64", sound=False)
    words = ["session", "start", "--control", foreign, "--site", "lobby", "--devices", "a,b"]
    words += ["--media", str(film)]
    busy = {"code": "device_busy", "message": 'a plays: stop that, or send "replace": true'}
    monkeypatch.setattr(Foreign, "answer", (409, json.dumps({"error": busy})))
    assert main([*words, "--replace", "--master", "b", "--flag", "A=1", "--flag", "B=x=y"]) == 2
    assert one_line(capsys) == "unisono session: a plays: stop that, or add --replace"
    asked = json.loads(Foreign.seen[0][1])
    assert (asked["replace"], asked["master"]) == (True, "b")
    assert asked["flags"] == {"A": "1", "B": "x=y"}

    for wrong, sentence in (
        (["--start-delay", "-1"], "--start-delay -1: use 0 to 86400 (seconds)"),
        (["--flag", "A"], "--flag A: use NAME=VALUE"),
        (["--media", "/tmp"], "--media /tmp: a directory, not a file"),
        (["--media", "/tmp/" + "x" * 300], "File name too long"),
    ):
        assert main([*words, *wrong]) == 2
        assert sentence in one_line(capsys)
    assert len(Foreign.seen) == 1


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    command = [sys.executable, "-m", "services.cli.main", "flags"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "unisono flags: No space left on device\n")


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
    assert "not a url: not an http(s) address" in one_line(capsys)


def test_flags_page_is_up_to_date_and_names_every_flag() -> None:
    page = flags.page()
    root = Path(__file__).parents[2]
    assert (root / "docs" / "flags.md").read_text(encoding="utf-8") == page, "run make docs"
    assert "| `SYNC_LAN_ENABLED` | 0 |" in page
    assert "| `UNISONO_BEACON_PORT` | 7600 |" in page


def test_doctor_looks_at_every_part() -> None:
    parts = {finding.part: finding for finding in examine()}
    assert set(parts) == {"python", "mpv", "ffmpeg", "redis", "zmq", "lan", "clock"}
    assert all(finding.good for finding in parts.values() if finding.needed)


def test_doctor_says_what_the_kernels_word_on_the_clock_means() -> None:
    assert clock_finding(WallClock(4_000, 100)).good
    far_off = clock_finding(WallClock(400_000, 1_000))
    assert not far_off.good
    assert "within 400.0 ms of UTC at most, 1.0 ms likely" in far_off.text
    for unknown in (None, WallClock(4_000, 100, STA_UNSYNC), WallClock(16_000_000, 16_000_000)):
        finding = clock_finding(unknown)
        assert not finding.good
        assert "install chrony" in finding.text


def test_start_up_loads_no_more_than_the_command_needs() -> None:
    code = (
        "import json, sys\n"
        "from services.cli.main import main\n"
        "main(['flags'])\n"
        "print(json.dumps(sorted(set(sys.modules) & {'httpx', 'rich', 'zmq', 'fastapi', 'redis'})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
