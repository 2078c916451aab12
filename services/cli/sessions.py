"""`unisono session start|stop|show`."""

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from services.cli.api import ApiRefusedError, ControlApi, playlist_of
from services.cli.credentials import OPERATOR_VARIABLES, operator_token
from services.cli.paths import need_file
from unisono.runtime import UserError

MAX_START_DELAY_S = 86_400
_HTTP_UNAUTHORIZED = 401


def run(arguments: argparse.Namespace) -> int:
    """Do the action, and print the session as JSON."""
    if arguments.action == "start":
        _check_start(arguments)
    try:
        print(json.dumps(asyncio.run(_act(arguments)), indent=2))
    except ApiRefusedError as error:
        raise UserError(_in_our_words(error)) from None
    return 0


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; UserError for one that is not."""
    flags = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise UserError(f"--flag {word}: use NAME=VALUE, such as SYNC_LAN_ENABLED=1")
        flags[name] = value
    return flags


def _check_start(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.start_delay <= MAX_START_DELAY_S:
        raise UserError(
            f"--start-delay {arguments.start_delay:g}: use 0 to {MAX_START_DELAY_S} (seconds)"
        )
    for film in arguments.media:
        need_file("--media", film)


async def _act(arguments: argparse.Namespace) -> dict[str, Any]:
    async with ControlApi(arguments.control, operator_token(os.environ)) as api:
        if arguments.action == "stop":
            return await api.stop_session(arguments.session_id)
        if arguments.action == "show":
            return await api.show_session(arguments.session_id)
        return await api.start_session(
            arguments.site,
            [name for name in arguments.devices.split(",") if name],
            playlist_of(arguments.media),
            start_delay_s=arguments.start_delay,
            replace=arguments.replace,
            master=arguments.master,
            flags=flags_of(arguments.flag),
        )


def _in_our_words(error: ApiRefusedError) -> str:
    """The control plane speaks of its API; here people type options."""
    if error.status == _HTTP_UNAUTHORIZED:
        return f"{error}; set {' or '.join(OPERATOR_VARIABLES)}"
    return str(error).replace('send "replace": true', "add --replace")
