"""`unisono account|device|tokens|site`: what administrators do with a control plane."""

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from services.cli.api import ApiRefusedError, ControlApi
from services.cli.credentials import ADMIN_VARIABLES, admin_token, operator_token
from unisono.runtime import UserError

_HTTP_UNAUTHORIZED = 401


def run(arguments: argparse.Namespace) -> int:
    """Do what was typed, and print the answer: JSON, a sentence, or the tokens one a line."""
    if arguments.command == "account" and arguments.action == "add":
        arguments.password = read_password()
    if arguments.command == "site":
        arguments.values = flags_of(arguments.values)
        if bool(arguments.values) != bool(arguments.why):
            raise UserError("to change flags give both: NAME=VALUE (or NAME=) and --why TEXT")
    try:
        reply = asyncio.run(_act(arguments))
    except ApiRefusedError as error:
        if error.status == _HTTP_UNAUTHORIZED:
            raise UserError(f"{error}; set {' or '.join(ADMIN_VARIABLES)}") from None
        raise
    print(reply if isinstance(reply, str) else json.dumps(reply, indent=2))
    return 0


def read_password() -> str:
    """A password, typed twice, or the first line of a standard input that is no terminal.

    Never among the words of a command: those can be read by every user of the machine.
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise UserError("no password: write it to standard input")
        return password
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise UserError("the two passwords differ: nothing was changed")
    return password


def flags_of(words: Sequence[str]) -> dict[str, str | None]:
    """``NAME=VALUE`` words, and ``NAME=`` for one to remove; UserError for any other."""
    flags: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise UserError(f"{word}: use NAME=VALUE, such as SYNC_LAN_ENABLED=1, or NAME=")
        flags[name] = value or None
    return flags


async def _act(arguments: argparse.Namespace) -> dict[str, Any] | str:
    async with ControlApi(arguments.control, _token(arguments.command, os.environ)) as api:
        match arguments.command:
            case "account":
                return await _account(api, arguments)
            case "device":
                return await _device(api, arguments)
            case "tokens":
                return "\n".join(await api.make_tokens(arguments.site, arguments.count))
        if not arguments.values:
            return await api.flags(arguments.site)
        return await api.change_flags(
            arguments.site, arguments.values, device_id=arguments.device, why=arguments.why
        )


async def _account(api: ControlApi, arguments: argparse.Namespace) -> dict[str, Any] | str:
    if arguments.action == "list":
        return await api.accounts()
    if arguments.action == "remove":
        await api.remove_account(arguments.name)
        return f"removed {arguments.name}"
    sites = [site for site in arguments.sites.split(",") if site]
    return await api.add_account(arguments.name, arguments.role, arguments.password, sites)


async def _device(api: ControlApi, arguments: argparse.Namespace) -> str:
    if arguments.action == "rotate":
        await api.rotate_device(arguments.site, arguments.device_id)
        return f"{arguments.device_id} fetches another secret at its next call"
    reply = await api.revoke_device(arguments.site, arguments.device_id)
    session_id = reply.get("session_id")
    return f"revoked {arguments.device_id}" + (f", out of {session_id}" if session_id else "")


def _token(command: str, environment: Mapping[str, str]) -> str:
    """Flags are an operator's business as well."""
    return admin_token(environment) or (operator_token(environment) if command == "site" else "")
