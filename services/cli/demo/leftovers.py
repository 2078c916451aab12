"""`unisono clean`: removes the logs of demos that have ended, and what killed ones left."""

import argparse
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from services.cli.lab.namespaces import remove_stale_labs
from unisono.runtime import UserError

LOCK = ".lock"
DEFAULT_PREFIX = "unisono-demo-"
DEFAULT_PARENT = Path("/tmp")  # noqa: S108  (unix sockets need a short path; the name is random)


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def run(_arguments: argparse.Namespace) -> int:
    """Remove stale networks (root) and this user's directories of demos that have ended."""
    removed = remove_stale_labs() if os.geteuid() == 0 else []
    for path in sorted(DEFAULT_PARENT.glob(f"{DEFAULT_PREFIX}*")):
        if _remove_ended(path):
            removed.append(str(path))
    for name in removed:
        print(f"removed {name}")
    return 0


def _remove_ended(path: Path) -> bool:
    """Remove the directory of a demo that has ended; False for all that is not just that.

    Anybody may put anything into /tmp: links are not followed, nothing is made, and what belongs
    to others stays.
    """
    try:
        with _opened(path, _DIRECTORY | os.O_NOFOLLOW) as directory:
            if os.fstat(directory).st_uid != os.geteuid():
                return False
            with _opened(LOCK, _FILE, directory) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
    except OSError:  # a link, no lock in it, a demo that still runs, or gone by now
        return False
    return True


def drop_unused(run_dir: Path) -> None:
    """Remove a directory in which no demo has come as far as a log."""
    with contextlib.suppress(OSError):
        if [path.name for path in run_dir.iterdir()] == [LOCK]:
            shutil.rmtree(run_dir)


@contextlib.contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Own ``run_dir`` for the block; UserError when another demo does, or it cannot be had."""
    with ExitStack() as held:
        try:
            directory = held.enter_context(_opened(run_dir, _DIRECTORY))
            lock = held.enter_context(_opened(LOCK, _FILE | os.O_CREAT, directory))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--run-dir {run_dir}: another demo is using it") from None
        except OSError as error:
            raise UserError(f"--run-dir {run_dir}: {LOCK}: {error.strerror}") from None
        yield


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, directory: int | None = None) -> Iterator[int]:
    """A file descriptor for the block; ``path`` may be one inside the open ``directory``."""
    descriptor = os.open(path, flags, 0o600, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
