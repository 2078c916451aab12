"""`unisono`: what people type. Each command's module is loaded only when it is asked for."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from unisono.config.table import ConfigError
from unisono.runtime import EXIT_USAGE, UserError
from unisono.runtime.extras import need_extra

FAILED = 1
_DEFAULT_CONTROL = "http://127.0.0.1:8080"
_CREDENTIAL_HELP = (
    "The operators' token is read from UNISONO_OPERATOR_TOKEN or, when that is not set, "
    "UNISONO_CONTROL_OPERATOR_TOKEN; the administrators' token does as well."
)
_ADMIN_HELP = (
    "The administrators' token is read from UNISONO_ADMIN_TOKEN or, when that is not set, "
    "UNISONO_CONTROL_ADMIN_TOKEN."
)
# A command's module, and what it needs beyond what every installation has: extra, packages.
_EXTRAS = {"demo.command": ("demo", "rich", "fastapi", "uvicorn")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. Bad input is one sentence on standard error, status 2."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        if arguments.module in _EXTRAS:
            need_extra(*_EXTRAS[arguments.module])
        command = importlib.import_module(f"services.cli.{arguments.module}")
        status: int = command.run(arguments)
        sys.stdout.flush()
    except (UserError, ConfigError) as error:
        print(f"unisono {arguments.command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        _drop_output()
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"unisono {arguments.command}: {where}{error.strerror or error}", file=sys.stderr)
        _drop_output()
        return FAILED
    return status


def _drop_output() -> None:
    """Let what cannot be written go: the interpreter would complain of it once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence; the usage is a `--help` away."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with status 2."""
        print(f"{self.prog}: {message}; {self.prog} --help says what it takes", file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[_Parser]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="unisono", description="Screens that play as one.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add(commands, "doctor", "doctor", "say what this machine has and what it lacks")
    _add_enroll(commands)
    _add_session(commands)
    _add_site(commands)
    _add_device(commands)
    _add_account(commands)
    _add_tokens(commands)
    _add(commands, "flags", "flags", "print the tables of flags and settings (markdown)")
    _add(commands, "clean", "demo.leftovers", "remove what demos that have ended left behind")
    return parser


def _add(commands: "_Commands", name: str, module: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.set_defaults(module=module)
    return parser


def _add_demo(commands: "_Commands") -> None:
    demo = _add(commands, "demo", "demo.command", "play one film in unison on this machine")
    add = demo.add_argument
    add("--devices", type=int, default=3, metavar="N", help="how many devices (default 3)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="stop S seconds after the start, more than 5 (default: Ctrl-C)",
    )
    add("--media", type=Path, metavar="FILE", help="film to play (default: a test film is made)")
    add("--player", default="mpv", metavar="mpv|sim", help="sim: simulated players (default mpv)")
    add("--run-dir", type=Path, metavar="DIR", help="sockets and logs (default: a new one in /tmp)")
    add("--report", type=Path, metavar="FILE", help="write the figures as JSON (docs/report.md)")
    add("--isolate", action="store_true", help="root: each device has its own network and clock")
    add(
        "--net",
        metavar="PROFILE",
        help="with --isolate: a network like this, such as wifi-bad; list shows them all",
    )
    add("--seed", type=int, metavar="N", help="of the dice of --net (default 1)")
    add("--wall", metavar="COLSxROWS", help="windows in a grid on $DISPLAY")
    add("--cell", metavar="WxH", help="size of one window (default 640x360)")
    add("--port", type=int, default=0, metavar="P", help="port of the API (default: a free one)")


def _add_enroll(commands: "_Commands") -> None:
    enroll = _add(commands, "enroll", "enroll", "give this device its identity, once")
    add = enroll.add_argument
    add("--control", required=True, metavar="URL", help="address of the control plane")
    add("--token", metavar="T", help="one-time token of the site; - reads it from standard input "
        "(default: UNISONO_ENROLL_TOKEN, which unlike T no other user can read)")  # fmt: skip
    add("--device-id", metavar="ID", help="id to enrol as (default: the control plane chooses)")
    add("--env-file", type=Path, metavar="FILE", help="write the settings there (default: print)")


def _add_session(commands: "_Commands") -> None:
    session = commands.add_parser("session", help="start, stop or show a session")
    actions = session.add_subparsers(dest="action", required=True, metavar="ACTION")
    session.epilog = _CREDENTIAL_HELP
    for name in ("start", "stop", "show"):
        action = _add_action(actions, name, "sessions", f"{name} a session", _CREDENTIAL_HELP)
        if name == "start":
            _add_start(action)
        else:
            action.add_argument("session_id", metavar="SESSION", help="id of the session")


def _add_action(
    actions: "_Commands", name: str, module: str, text: str, epilog: str
) -> argparse.ArgumentParser:
    """One thing to do at a control plane, as a part of ``actions``."""
    action = actions.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", epilog=epilog
    )
    action.set_defaults(module=module)
    action.add_argument(
        "--control",
        default=_DEFAULT_CONTROL,
        metavar="URL",
        help="address of the control plane (default %(default)s)",
    )
    return action


def _add_start(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    add("--site", required=True, metavar="SITE", help="site whose devices play")
    add("--devices", required=True, metavar="ID,ID,…", help="devices that play, by id")
    add("--media", required=True, nargs="+", type=Path, metavar="FILE", help="films, in order; "
        "each device opens them under the same absolute path")  # fmt: skip
    add("--start-delay", type=float, default=5.0, metavar="S", help="start in S seconds (5)")
    add("--replace", action="store_true", help="stop the sessions that these devices play now")
    add("--master", metavar="DEVICE", help="device that leads (default: one is elected)")
    add("--flag", action="append", default=[], metavar="NAME=VALUE", help="a flag for the "
        "session's devices, such as SYNC_LAN_ENABLED=1; may be repeated")  # fmt: skip


def _add_site(commands: "_Commands") -> None:
    site = commands.add_parser("site", help="show or change the flags of a site")
    actions = site.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "show the flags of a site, or change them for it or for one of its devices"
    epilog = f"{_ADMIN_HELP} An operator's token does as well."
    add = _add_action(actions, "flags", "admin", text, epilog).add_argument
    add("site", metavar="SITE", help="name of the site")
    add("values", nargs="*", metavar="NAME=VALUE", help="flags to set; NAME= removes one")
    add("--device", metavar="ID", help="for this device alone (default: for the whole site)")
    add("--why", default="", metavar="TEXT", help="why, for the history; needed for a change")


def _add_device(commands: "_Commands") -> None:
    device = commands.add_parser("device", help="revoke a device, or have its secret changed")
    actions = device.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("revoke", "let a device in no more"),
        ("rotate", "have a device fetch another secret at its next call"),
    ):
        action = _add_action(actions, name, "admin", text, _ADMIN_HELP)
        action.add_argument("site", metavar="SITE", help="site of the device")
        action.add_argument("device_id", metavar="DEVICE", help="id of the device")


def _add_account(commands: "_Commands") -> None:
    account = commands.add_parser("account", help="add, list or remove accounts of the dashboard")
    actions = account.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "add an account; its password is asked for, or read from standard input"
    new = _add_action(actions, "add", "admin", text, _ADMIN_HELP)
    _add_action(actions, "list", "admin", "list all accounts", _ADMIN_HELP)
    old = _add_action(actions, "remove", "admin", "remove an account", _ADMIN_HELP)
    for action in (new, old):
        action.add_argument("name", metavar="NAME", help="name to log in with")
    new.add_argument("--role", choices=("operator", "admin"), default="operator", help="what it "
        "may do (default %(default)s)")  # fmt: skip
    new.add_argument("--sites", default="", metavar="SITE,SITE,…", help="sites of an operator "
        "(default: all)")  # fmt: skip


def _add_tokens(commands: "_Commands") -> None:
    text = "make one-time tokens, each of which lets one device enrol"
    tokens = _add_action(commands, "tokens", "admin", text, _ADMIN_HELP)
    tokens.add_argument("site", metavar="SITE", help="site that the devices will belong to")
    tokens.add_argument("--count", type=int, default=1, metavar="N", help="how many (default 1)")


if __name__ == "__main__":
    raise SystemExit(main())
