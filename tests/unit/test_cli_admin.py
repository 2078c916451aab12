"""`unisono account|device|tokens|site`, as administrators type them; the control plane is real."""

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.cli.admin import flags_of, read_password
from services.cli.credentials import admin_token, operator_token
from services.cli.main import main
from tests.support.control_process import ADMIN_TOKEN, OPERATOR_TOKEN, control_process
from tests.support.redis_server import RedisServer
from unisono.runtime import UserError

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def plane(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One for all of them: each test has names of its own."""
    redis_server.flush()
    with control_process(redis_server.url_of(5), tmp_path_factory.mktemp("plane") / "log") as url:
        yield url


@pytest.fixture
def control(plane: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("UNISONO_ADMIN_TOKEN", ADMIN_TOKEN)
    return plane


def said(capsys: pytest.CaptureFixture[str], *words: str, control: str) -> str:
    """What a command prints when it succeeds."""
    status = main([*words, "--control", control])
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    return printed.out


def complaint(capsys: pytest.CaptureFixture[str], *words: str, control: str) -> str:
    """The one sentence that a command prints when it does not."""
    assert main([*words, "--control", control]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def test_a_site_is_run_from_the_command_line(
    control: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = said(capsys, "tokens", "lobby", "--count", "2", control=control).split()
    assert len(tokens) == 2
    body = {"token": tokens[0], "device_id": "screen-1"}
    secret = httpx.post(f"{control}/v1/device/enroll", json=body, trust_env=False).json()["secret"]

    device = {"Authorization": f"Bearer screen-1.{secret.rpartition('.')[0]}"}
    place = {"address": "127.0.0.1", "beacon_port": 1, "probe_port": 2}

    def beat() -> httpx.Response:
        url = f"{control}/v1/device/heartbeat"
        return httpx.post(url, json=place, headers=device, trust_env=False)

    flags = ("site", "flags", "lobby")
    assert json.loads(said(capsys, *flags, control=control))["site"] == {}
    set_words = ("SYNC_LAN_ENABLED=1", "SYNC_STATUS_S=3", "--why", "try the LAN")
    changed = json.loads(said(capsys, *flags, *set_words, control=control))
    assert changed["site"] == {"SYNC_LAN_ENABLED": "1", "SYNC_STATUS_S": "3"}
    assert changed["history"][0]["why"] == "try the LAN"
    removed = ("SYNC_STATUS_S=", "--why", "no more")
    assert json.loads(said(capsys, *flags, *removed, control=control))["site"] == {
        "SYNC_LAN_ENABLED": "1"
    }
    canary = ("SYNC_STATUS_S=9", "--device", "screen-1", "--why", "canary")
    changed = json.loads(said(capsys, *flags, *canary, control=control))
    assert changed["devices"] == {"screen-1": {"SYNC_STATUS_S": "9"}}
    assert beat().json()["flags"] == {"SYNC_LAN_ENABLED": "1", "SYNC_STATUS_S": "9"}

    assert "next call" in said(capsys, "device", "rotate", "lobby", "screen-1", control=control)
    assert beat().json()["rotate"] is True
    assert "revoked screen-1" in said(
        capsys, "device", "revoke", "lobby", "screen-1", control=control
    )
    assert beat().status_code == 401
    assert "screen-1" in complaint(capsys, "device", "revoke", "lobby", "screen-1", control=control)

    monkeypatch.setenv("UNISONO_ADMIN_TOKEN", "another")
    assert "; set UNISONO_ADMIN_TOKEN or UNISONO_CONTROL_ADMIN_TOKEN" in complaint(
        capsys, "tokens", "lobby", control=control
    )
    # An operator may read and set flags, and nothing else of these.
    monkeypatch.delenv("UNISONO_ADMIN_TOKEN")
    monkeypatch.setenv("UNISONO_OPERATOR_TOKEN", OPERATOR_TOKEN)
    assert json.loads(said(capsys, *flags, control=control))["site"] == {"SYNC_LAN_ENABLED": "1"}
    assert complaint(capsys, "account", "list", control=control)


def test_accounts_come_and_go_and_their_passwords_are_not_typed_as_words(
    control: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(name: str, password: str, *words: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
        return ["account", "add", name, *words]

    made: dict[str, Any] = json.loads(
        said(capsys, *add("ana", PASSWORD, "--sites", "lobby,hall"), control=control)
    )
    assert (made["name"], made["role"], sorted(made["sites"])) == (
        "ana",
        "operator",
        ["hall", "lobby"],
    )
    assert "there is" in complaint(capsys, *add("ana", PASSWORD), control=control)
    assert complaint(capsys, *add("short", "x"), control=control)
    said(capsys, *add("root", PASSWORD, "--role", "admin"), control=control)

    login = {"name": "ana", "password": PASSWORD}
    assert httpx.post(f"{control}/v1/login", json=login, trust_env=False).status_code == 200
    listed = said(capsys, "account", "list", control=control)
    assert [account["name"] for account in json.loads(listed)["accounts"]] == ["ana", "root"]
    assert PASSWORD not in listed
    assert said(capsys, "account", "remove", "ana", control=control) == "removed ana\n"
    assert "ana" in complaint(capsys, "account", "remove", "ana", control=control)
    assert httpx.post(f"{control}/v1/login", json=login, trust_env=False).status_code == 401


def test_what_is_typed_wrongly_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    flags = ("site", "flags", "lobby")
    for words, sentence in (
        ((*flags, "SYNC_STATUS_S=3"), "give both"),
        ((*flags, "--why", "no reason"), "give both"),
        ((*flags, "SYNC_STATUS_S", "--why", "x"), "use NAME=VALUE"),
    ):
        assert sentence in complaint(capsys, *words, control=nowhere)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "no password" in complaint(capsys, "account", "add", "ana", control=nowhere)
    with pytest.raises(SystemExit) as ended:
        main(["account", "add", "ana", "--password", "hunter2"])
    assert ended.value.code == 2
    assert flags_of(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": None}


class Terminal(io.StringIO):
    """A standard input with somebody at it."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_password_is_asked_for_twice_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    for answers, fits in (((PASSWORD, PASSWORD), True), ((PASSWORD, "else"), False)):
        typed = iter(answers)
        monkeypatch.setattr("getpass.getpass", lambda _prompt, typed=typed: next(typed))
        if fits:
            assert read_password() == PASSWORD
        else:
            with pytest.raises(UserError, match="differ"):
                read_password()


def test_tokens_of_the_environment() -> None:
    names = (
        "UNISONO_OPERATOR_TOKEN",
        "UNISONO_CONTROL_OPERATOR_TOKEN",
        "UNISONO_ADMIN_TOKEN",
        "UNISONO_CONTROL_ADMIN_TOKEN",
    )
    everything = {name: str(number) for number, name in enumerate(names)}
    found = []
    while everything:
        found.append((operator_token(everything), admin_token(everything)))
        everything.pop(next(iter(everything)))
    assert found == [("0", "2"), ("1", "2"), ("2", "2"), ("3", "3")]
    assert (operator_token({}), admin_token({})) == ("", "")
