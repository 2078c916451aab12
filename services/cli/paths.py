"""Files that a user names, looked at before anything is begun: one sentence when unfit."""

import os
import re
import stat
from pathlib import Path

from unisono.runtime import UserError

# A path has lost one of the two slashes of an address.
_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+")


def need_file(option: str, path: Path) -> None:
    """UserError that names ``option`` unless ``path`` is a file that this user may read."""
    if _ADDRESS.match(str(path)):
        address = _ADDRESS.sub(r"\1://", str(path), count=1)
        raise UserError(f"{option} {address}: a local file is needed, not an address")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UserError(f"{option} {path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{option} {path}: a directory, not a file")
    if not stat.S_ISREG(mode):
        raise UserError(f"{option} {path}: not a regular file")
    if not os.access(path, os.R_OK):
        raise UserError(f"{option} {path}: not readable")


def need_target(option: str, path: Path, *, made_anew: bool = False) -> None:
    """UserError that names ``option`` unless this user may write ``path``.

    ``made_anew``: what is there will be removed first, so that only its directory counts.
    """
    parent = path.absolute().parent
    try:
        if not stat.S_ISDIR(parent.stat().st_mode):
            raise NotADirectoryError
        try:
            mode: int | None = path.stat().st_mode
        except FileNotFoundError:
            mode = None
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{option} {path}: its directory does not exist") from None
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from None
    if mode is not None and stat.S_ISDIR(mode):
        raise UserError(f"{option} {path}: a directory, not a file")
    kept = mode is not None and not made_anew
    if not (os.access(path, os.W_OK) if kept else os.access(parent, os.W_OK | os.X_OK)):
        raise UserError(f"{option} {path}: not writable")
