"""`unisono enroll`: trade a one-time token for this device's identity."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from services.cli.api import ControlApi
from services.cli.paths import need_target
from unisono.runtime import UserError

TOKEN_VARIABLE = "UNISONO_ENROLL_TOKEN"  # noqa: S105  (a variable's name)
_FROM_INPUT = "-"


def run(arguments: argparse.Namespace) -> int:
    """Enrol, and write the settings to the file, or print them."""
    target: Path | None = arguments.env_file
    if target is not None:  # before the token is spent, not after
        need_target("--env-file", target, made_anew=True)
    token = find_token(arguments.token)
    text = asyncio.run(_enroll(arguments.control, token, arguments.device_id))
    if target is None:
        print(text, end="")
        return 0
    write_private(target, text)
    print(f"wrote {target}; start the device's processes with it")
    return 0


def find_token(given: str | None) -> str:
    """The token: as given, from standard input for "-", else from the environment.

    A token among the words of a command can be read by every user of the machine while it runs.
    """
    if given == _FROM_INPUT:
        token = sys.stdin.readline().strip()
        absent = "--token -: standard input holds no token"
    else:
        token = given or os.environ.get(TOKEN_VARIABLE, "").strip()
        absent = f"no token: set {TOKEN_VARIABLE}, or give --token - and write it to standard input"
    if not token:
        raise UserError(absent)
    return token


async def _enroll(url: str, token: str, device_id: str | None) -> str:
    async with ControlApi(url) as api:
        identity = await api.enroll(token, device_id)
    settings = {
        "DEVICE_ID": identity["device_id"],
        "DEVICE_SECRET": identity["secret"],
        "SITE": identity["site"],
        "CONTROL_URL": url,
    }
    return "".join(f"UNISONO_{name}={value}\n" for name, value in settings.items())


def write_private(path: Path, text: str) -> None:
    """Write ``text`` so that only this user can read it, whatever the file was before."""
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
