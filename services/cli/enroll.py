"""`unisono enroll`: trade a one-time token for this device's identity."""

import argparse
import asyncio
import os
from pathlib import Path

from services.cli.api import ControlApi
from unisono.runtime import UserError


def run(arguments: argparse.Namespace) -> int:
    """Enrol, and write the settings to the file, or print them."""
    target: Path | None = arguments.env_file
    if target is not None and not target.absolute().parent.is_dir():
        # Before the token is spent, not after.
        raise UserError(f"--env-file {target}: its directory does not exist")
    text = asyncio.run(_enroll(arguments.control, arguments.token, arguments.device_id))
    if target is None:
        print(text, end="")
        return 0
    write_private(target, text)
    print(f"wrote {target}; start the device's processes with it")
    return 0


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
