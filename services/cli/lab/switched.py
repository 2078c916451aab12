"""A lab whose hosts are joined by our own switch, for as long as a block runs (root)."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from services.cli.lab import namespaces
from services.cli.lab.control import SOCKET_NAME, LabControl
from services.cli.lab.iproute import LabError
from services.cli.lab.namespaces import Lab
from services.cli.lab.profiles import Profile

LOG_NAME: Final = "switch.log"
_READY_S: Final = 20.0  # a slow machine takes a second or two to start an interpreter
_END_S: Final = 5.0  # it ends at once; then it is killed


@contextlib.contextmanager
def switched(
    hosts: Iterable[str], *, profile: Profile, seed: int, directory: Path
) -> Iterator[LabControl]:
    """Hosts joined by the rules of ``profile``, the first of them the control plane's.

    ``directory`` gets the switch's socket and log; its path is short, as sockets need it. The same
    seed throws the same dice for the same frames. LabError when it cannot be built; when the block
    ends all is gone but the log.
    """
    with contextlib.ExitStack() as ending:
        lab = ending.enter_context(namespaces.made_hosts(hosts))
        ending.enter_context(_switch(lab, seed, directory))
        for host in lab.hosts:
            namespaces.set_up(lab, host, lab.address(host))
        namespaces.set_up_outside(lab)
        control = LabControl(lab, directory / SOCKET_NAME)
        control.set_profile(profile)
        yield control


@contextlib.contextmanager
def _switch(lab: Lab, seed: int, directory: Path) -> Iterator[None]:
    """The process, ready and with all interfaces made."""
    start = {"lab": lab.plain(), "seed": seed, "parent": os.getpid()}
    log_path = directory / LOG_NAME
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            # -P: whatever is called services in the user's directory is not ours.
            [sys.executable, "-P", "-m", "services.cli.lab.switch", str(directory / SOCKET_NAME)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )
    try:
        _await_ready(process, json.dumps(start).encode(), log_path)
        yield
    finally:
        _end(process)
        (directory / SOCKET_NAME).unlink(missing_ok=True)  # if it had to be killed


def _await_ready(process: "subprocess.Popen[bytes]", start: bytes, log_path: Path) -> None:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for")
    with process.stdin as words, contextlib.suppress(BrokenPipeError):
        words.write(start)
    with process.stdout as said:
        if select.select([said], [], [], _READY_S)[0] and said.readline():
            return
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise LabError(f"the switch of the lab did not start: {lines[-1] if lines else 'no reason'}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
