"""The switch of a lab: a process between the hosts that passes their frames on, late or never.

Each host's ``eth0`` is a TAP device whose other end is here. What happens to a frame is decided
in `fabric`; here are the devices, the clock, one timer, and the socket on which it is told what to
do (`commands`; `control` is the client). It starts with the lab as a JSON object on standard input,
says ``ready`` when all interfaces are there, and ends on SIGTERM, or with its parent.

    python -m services.cli.lab.switch SOCKET < lab.json
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from services.cli.lab import commands
from services.cli.lab.commands import CommandError
from services.cli.lab.fabric import Fabric
from services.cli.lab.lateness import Lateness
from services.cli.lab.link import Link
from services.cli.lab.namespaces import INTERFACE, Lab
from services.cli.lab.tap import Tap
from unisono.clock import own_ns
from unisono.core.units import NS_PER_S
from unisono.runtime import EXIT_USAGE, UserError, run_daemon

OUTSIDE: Final = "outside"  # the machine's own cable
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29
_BURST: Final = 32  # frames read of one host before the others have their turn
_MAX_LINE_BYTES: Final = 65_536
_libc = ctypes.CDLL(None, use_errno=True)


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """What a switch is started with."""

    lab: dict[str, Any]  # as `Lab.plain` tells it
    seed: int
    parent: int  # the process to end with


class Switch:
    """Devices, timer and commands around one fabric."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self._lab = lab
        self._fabric = Fabric((*lab.hosts, OUTSIDE), seed, OUTSIDE)
        self._taps: dict[str, Tap] = {}
        self._lateness = Lateness()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0

    def plug(self, host: str) -> None:
        """Make the interface of ``host``; OSError when the kernel will not."""
        if host == OUTSIDE:
            tap = Tap(None, self._lab.outside)
        else:
            tap = Tap(self._lab.namespace(host), INTERFACE)
        self._taps[host] = tap
        self._loop.add_reader(tap, functools.partial(self._read, host, tap))

    def unplug(self, host: str) -> None:
        """Take the interface of ``host`` away, if it has one."""
        tap = self._taps.pop(host, None)
        if tap is not None:
            self._loop.remove_reader(tap)
            tap.close()

    def close(self) -> None:
        """Take all interfaces away."""
        for host in list(self._taps):
            self.unplug(host)

    def _read(self, host: str, tap: Tap) -> None:
        """Take what a host has sent; an interface that is gone waits to be plugged in again."""
        try:
            for _ in range(_BURST):
                frame = tap.read()
                if frame is None:
                    break
                self._fabric.arrive(own_ns(), host, frame)
        except ConnectionResetError:
            self.unplug(host)
        self._deliver()

    def _deliver(self) -> None:
        """Hand over what is due, and arm the timer for what is due next."""
        for due_ns, host, frame in self._fabric.deliveries(own_ns()):
            tap = self._taps.get(host)
            if tap is not None and tap.write(frame):
                self._lateness.add(own_ns() - due_ns)
            else:
                self._fabric.unwritable(host)
        next_ns = self._fabric.due_ns
        if self._timer is not None and self._timer_ns == next_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if next_ns is not None:
            self._timer_ns = next_ns
            self._timer = self._loop.call_at(next_ns / NS_PER_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._deliver()

    def obey(self, line: bytes) -> dict[str, Any]:
        """Do what ``line`` says; the answer. Nothing in it can end the switch."""
        try:
            return {"ok": True} | self._obey(commands.decode(line))
        except (CommandError, OSError) as error:
            return {"ok": False, "error": str(error)}

    def _obey(self, command: commands.Command) -> dict[str, Any]:
        match command:
            case commands.SetRules():
                self._set_rules(command)
            case commands.SetParts(parts=parts):
                for host in (host for part in parts for host in part):
                    self._known(host)
                self._fabric.partition(parts)
            case commands.Unplug(host=host):
                self.unplug(self._known(host))
            case commands.Plug(host=host):
                if self._known(host) in self._taps:
                    raise CommandError(f"{host} is plugged in already")
                self.plug(host)
            case commands.TellLab():
                return {"lab": self._lab.plain()}
            case commands.TellStatistics():
                return self._statistics()
        return {}

    def _set_rules(self, command: commands.SetRules) -> None:
        hosts = self._lab.hosts if command.host is None else (self._known(command.host),)
        towards = None if command.towards is None else commands.rules_from(command.towards)
        leaving = None if command.leaving is None else commands.rules_from(command.leaving)
        for host in hosts:
            port = self._fabric.ports[host]
            port.towards.rules = towards or port.towards.rules
            port.leaving.rules = leaving or port.leaving.rules

    def _known(self, host: str) -> str:
        if host not in self._lab.hosts:
            raise CommandError(f"{host}: no such host; there are {', '.join(self._lab.hosts)}")
        return host

    def _statistics(self) -> dict[str, Any]:
        return {
            "cpu_s": time.process_time(),
            "lateness_us": self._lateness.figures_us(),
            "hosts": {
                host: {
                    "plugged": host in self._taps,
                    "towards": _counts(port.towards),
                    "leaving": _counts(port.leaving),
                }
                for host, port in self._fabric.ports.items()
            },
        }


def _counts(link: Link) -> dict[str, Any]:
    return {"carried": link.carried, "lost": {k.value: v for k, v in link.lost.items()}}


async def _serve(start: Start, socket_path: Path) -> None:
    lab = Lab.from_plain(start.lab)
    switch = Switch(lab, start.seed)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while line := await _read_line(reader):
                writer.write(msgspec.json.encode(switch.obey(line)) + b"\n")
                await writer.drain()

    with contextlib.ExitStack() as ending:
        ending.callback(switch.close)
        for host in (*lab.hosts, OUTSIDE):
            try:
                switch.plug(host)
            except OSError as error:
                raise UserError(f"no TAP device for {host}: {error.strerror or error}") from None
        server = await asyncio.start_unix_server(converse, socket_path, limit=_MAX_LINE_BYTES)
        ending.callback(socket_path.unlink, missing_ok=True)
        print("ready", flush=True)
        async with server:
            await server.serve_forever()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """The next line; a line far too long is cut, and so no command."""
    try:
        return await reader.readline()
    except ValueError:
        return b"too long"


def _sharpen() -> None:
    """Wake in time: a network does not slow down because the machine that plays it is busy."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main() -> int:
    """Run the switch until a signal ends it."""
    start = msgspec.json.decode(sys.stdin.buffer.read(), type=Start)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != start.parent:  # it died before the line above
        return EXIT_USAGE
    _sharpen()
    return run_daemon("switch", lambda: _serve(start, Path(sys.argv[1])))


if __name__ == "__main__":
    raise SystemExit(main())
