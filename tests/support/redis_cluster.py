"""A real cluster of three Redis servers for tests, on free ports of the loopback interface."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.support.redis_server import redis_binary

NODES = 3
SLOTS = 16_384
# A new node waits two seconds before it lets anybody write.
READY_WITHIN_S = 15.0


@dataclass(slots=True)
class Node:
    """One server; it may be killed and started again, and then finds its place by itself."""

    directory: Path
    port: int
    bus_port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Run it, in whatever state its directory holds."""
        self.directory.mkdir(exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "cluster-enabled": "yes",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": 2000,
            # The sites of a node that is away are away; the others go on.
            "cluster-require-full-coverage": "no",
            "dir": self.directory,
            "save": "",
            "appendonly": "yes",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [redis_binary(), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The process, to stop and continue it."""
        if self.process is None:
            raise AssertionError("the node was not started")
        return self.process.pid

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def ask(self, *words: str | int) -> Any:
        """One command, past the cluster's client."""
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            return client.execute_command(*words)

    def keys(self) -> int:
        """How many keys it holds."""
        return int(self.ask("DBSIZE"))

    def is_ready(self) -> bool:
        """Whether it sees a whole cluster."""
        try:
            with redis.Redis(port=self.port, socket_timeout=5) as client:
                info: dict[str, str] = client.execute_command("CLUSTER INFO")
        except redis.RedisError:
            return False
        return info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS)


@dataclass(slots=True)
class RedisCluster:
    """The nodes, each with a third of the slots."""

    nodes: list[Node] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL of one node."""
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def node_of(self, slot: int) -> Node:
        """The node that was given that slot at the start."""
        return self.nodes[min(slot * NODES // SLOTS, NODES - 1)]

    def flush(self) -> None:
        """Empty all nodes."""
        for node in self.nodes:
            node.ask("FLUSHALL")

    def await_ready(self) -> None:
        """Wait until every node sees the whole cluster."""
        _await(lambda: all(node.is_ready() for node in self.nodes), "cluster")


@contextlib.contextmanager
def start_redis_cluster() -> Iterator[RedisCluster]:
    """Run the cluster until the block ends."""
    directory = Path(tempfile.mkdtemp(prefix="uni-cluster-", dir="/tmp"))
    cluster = RedisCluster()
    try:
        ports = _free_ports(2 * NODES)
        for number in range(NODES):
            home = directory / str(number)
            cluster.nodes.append(Node(home, ports[2 * number], ports[2 * number + 1]))
        for node in cluster.nodes:
            node.start()
        for node in cluster.nodes:
            _await(lambda: _answers(node), "node")  # noqa: B023  (called at once)
        _join(cluster)
        cluster.await_ready()
        yield cluster
    finally:
        for node in cluster.nodes:
            node.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _join(cluster: RedisCluster) -> None:
    first = cluster.nodes[0]
    for number, node in enumerate(cluster.nodes):
        begin, end = (-(-slot * SLOTS // NODES) for slot in (number, number + 1))
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        if node is not first:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)


def _answers(node: Node) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(node.ask("PING"))
    return False


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the {what} of Redis did not get ready")
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses; all are held until the last is found, so that none comes twice."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
