"""The processes under load: Redis, one worker of the control plane, the fleet's; what they used."""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.errors import BenchError
from tests.support.redis_server import start_redis

START_S = 20
_LISTENING = re.compile(r"listening on http://([^:]+):(\d+)")
# What Redis is asked by this benchmark itself.
_OURS = {"info", "flushall", "ping", "scan", "memory|usage", "client|setinfo", "hello"}


@dataclass(frozen=True, slots=True)
class Used:
    """What was used up to an instant, or between two."""

    server_cpu_s: float
    redis_cpu_s: float
    commands: int
    round_trips: int

    def since(self, before: "Used") -> "Used":
        """What was used from ``before`` on."""
        return Used(
            self.server_cpu_s - before.server_cpu_s,
            self.redis_cpu_s - before.redis_cpu_s,
            self.commands - before.commands,
            self.round_trips - before.round_trips,
        )


class Bench:
    """Three running processes."""

    def __init__(
        self, url: str, redis_pid: int, server: dict[str, Any], pid: int, client: Any
    ) -> None:
        self._redis = redis.Redis.from_url(url)
        self._redis_pid = redis_pid
        self._server = server
        self.pid = pid
        self._client = client

    def do(self, do: str, **job: Any) -> dict[str, Any]:
        """Have the fleet do a job; BenchError when it cannot."""
        self._client.stdin.write(json.dumps({"do": do} | job) + "\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"failed": "the client has died"}
        if "failed" in found:
            raise BenchError(found["failed"])
        return found

    def fleet(self, sites: dict[str, int], interval_s: float) -> int:
        """Set a new fleet up in an empty database; the memory that it takes in Redis, bytes."""
        self._redis.flushall()
        self.do("fleet", server=self._server, sites=sites, interval_s=interval_s)
        pipe = self._redis.pipeline(transaction=False)
        for key in self._redis.scan_iter(count=1000):
            pipe.memory_usage(key, samples=0)
        return sum(pipe.execute())

    def used(self) -> Used:
        """What the processes have used until now.

        A round trip is one read of a client's request by Redis: a batch that is sent at once is
        one, however many commands it holds.
        """
        reads = int(self._redis.info("stats")["total_reads_processed"])
        counted: dict[str, dict[str, int]] = self._redis.info("commandstats")
        names = {name.removeprefix("cmdstat_"): row["calls"] for name, row in counted.items()}
        commands = sum(calls for name, calls in names.items() if name not in _OURS)
        return Used(cpu_s(self.pid), cpu_s(self._redis_pid), commands, reads)


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running() -> Iterator[Bench]:
    """Start the processes; end them with the block."""
    admin, operator = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    room = Path(tempfile.mkdtemp(prefix="unisono-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, room, ignore_errors=True)
        store = stack.enter_context(start_redis())
        settings = {
            "ADMIN_TOKEN": admin,
            "OPERATOR_TOKEN": operator,
            "REDIS_URL": store.url,
            "PORT": "0",
            "CLIENT_ADDRESS_HEADER": "x-client",  # so that thousands may enrol from one address
        }
        environment = {f"UNISONO_CONTROL_{name}": value for name, value in settings.items()}
        log = room / "control-plane.log"
        with log.open("wb") as output:
            server = stack.enter_context(
                _process(
                    [str(Path(sys.executable).with_name("unisono-control-plane"))],
                    env=os.environ | environment,
                    stdout=output,
                    stderr=output,
                )
            )
        host, port = _listening(server, log)
        client = stack.enter_context(
            _process(
                [sys.executable, "-m", "benchmarks.control_plane.client"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        place = {"host": host, "port": port, "admin": admin, "operator": operator}
        yield Bench(store.url, store.pid, place, server.pid, client)


@contextlib.contextmanager
def _process(command: list[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _listening(server: "subprocess.Popen[Any]", log: Path) -> tuple[str, int]:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and server.poll() is None:
        found = _LISTENING.search(log.read_text("utf-8"))
        if found:
            return found[1], int(found[2])
        time.sleep(0.02)
    raise BenchError(f"the control plane did not start: {log.read_text('utf-8').strip()[-500:]}")
