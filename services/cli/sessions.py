"""`unisono session start|stop|show`."""

import argparse
import asyncio
import json
import os
from typing import Any

from services.cli.api import ControlApi, playlist_of

TOKEN_VARIABLE = "UNISONO_OPERATOR_TOKEN"  # noqa: S105  (a variable's name)


def run(arguments: argparse.Namespace) -> int:
    """Do the action, and print the session as JSON."""
    print(json.dumps(asyncio.run(_act(arguments)), indent=2))
    return 0


async def _act(arguments: argparse.Namespace) -> dict[str, Any]:
    async with ControlApi(arguments.control, os.environ.get(TOKEN_VARIABLE, "")) as api:
        if arguments.action == "stop":
            return await api.stop_session(arguments.session_id)
        if arguments.action == "show":
            return await api.show_session(arguments.session_id)
        return await api.start_session(
            arguments.site,
            [name for name in arguments.devices.split(",") if name],
            playlist_of(arguments.media),
            start_delay_s=arguments.start_delay,
        )
