"""A real Redis-compatible server for tests, on a unix socket in a short directory."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from services.cli.demo.embedded import server_command

VALKEY, REDIS = "valkey", "redis"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Where the server listens; ``pid`` is there for tests that stop and continue it."""

    socket: Path
    pid: int

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The URL of one of its databases."""
        return f"unix://{self.socket}?db={database}"

    def flush(self) -> None:
        """Empty all databases."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()


def redis_binary() -> str:
    """Redis itself, of the system's package."""
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("there is no redis-server: type tools/need.sh redis-server")
    return found


@contextlib.contextmanager
def start_redis(
    databases: int = 16, kind: str = VALKEY, directory: Path | None = None
) -> Iterator[RedisServer]:
    """Run a server until the block ends: Valkey as in the demo, or Redis of the system.

    With a ``directory`` of one's own, what the server has stored stays for the next one there.
    """
    home = directory or Path(tempfile.mkdtemp(prefix="uni-redis-", dir="/tmp"))
    socket = home / "redis.sock"
    command = server_command(socket, databases, home)
    if kind == REDIS:
        command[0] = redis_binary()
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_ready(process, socket)
        yield RedisServer(socket, process.pid)
    finally:
        process.terminate()
        process.wait(10)
        if directory is None:
            shutil.rmtree(home, ignore_errors=True)


def _await_ready(process: "subprocess.Popen[bytes]", socket: Path) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and process.poll() is None:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis(unix_socket_path=str(socket)) as one,
        ):
            one.ping()
            return
        time.sleep(0.01)
    raise RuntimeError("the Redis-compatible server did not start")
