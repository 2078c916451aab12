"""`unisono clean`: removes what demos left that were killed before they could tidy up."""

import argparse
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from services.cli.demo.isolate import remove_stale_labs
from unisono.runtime import UserError

LOCK = ".lock"
DEFAULT_PREFIX = "unisono-demo-"
DEFAULT_PARENT = Path("/tmp")  # noqa: S108  (unix sockets need a short path; the name is random)


def run(_arguments: argparse.Namespace) -> int:
    """Remove stale networks (root) and the directories of demos that have ended."""
    removed = remove_stale_labs() if os.geteuid() == 0 else []
    for path in DEFAULT_PARENT.glob(f"{DEFAULT_PREFIX}*"):
        with contextlib.suppress(OSError, UserError):
            with hold(path):
                shutil.rmtree(path)
            removed.append(str(path))
    for name in removed:
        print(f"removed {name}")
    return 0


@contextlib.contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Own ``run_dir`` for the block; UserError when another demo does."""
    descriptor = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"--run-dir {run_dir}: another demo is using it") from None
    finally:
        os.close(descriptor)
