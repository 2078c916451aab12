"""Whether windows can appear: a display that is named need not be there."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path

_TIMEOUT_S = 1.0
_X_DISPLAY = re.compile(r"(?P<host>.*):(?P<number>\d{1,5})(\.\d+)?")
_X_SOCKETS = "/tmp/.X11-unix"  # noqa: S108  (where X servers have their sockets)
_X_PORT = 6000


def reachable(environment: Mapping[str, str]) -> bool:
    """Whether the display server of ``DISPLAY`` or ``WAYLAND_DISPLAY`` takes a connection."""
    x_display = environment.get("DISPLAY", "")
    wayland = environment.get("WAYLAND_DISPLAY", "")
    runtime_dir = environment.get("XDG_RUNTIME_DIR", "")
    return (bool(x_display) and _x_answers(x_display)) or (
        bool(wayland) and _answers(str(Path(runtime_dir) / wayland))
    )


def _x_answers(name: str) -> bool:
    match = _X_DISPLAY.fullmatch(name)
    if match is None:
        return False
    host, number = match["host"], int(match["number"])
    if host in ("", "unix"):
        path = f"{_X_SOCKETS}/X{number}"
        return _answers(path) or _answers(f"\0{path}")  # the abstract twin, on Linux
    try:
        socket.create_connection((host.strip("[]"), _X_PORT + number), _TIMEOUT_S).close()
    except (OSError, OverflowError, UnicodeError):  # also what is no port, or no name of a host
        return False
    return True


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_TIMEOUT_S)
        try:
            link.connect(path)
        except OSError:
            return False
    return True
