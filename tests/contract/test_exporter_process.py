"""The exporter as a process of its own, on a real bus, scraped over real HTTP."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import until
from unisono.bus import Bus, topics
from unisono.bus.topics import DriftSample, LinkStats, Owner
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Role
from unisono.core.units import OwnNs

LINK = LinkStats("s1", 1, Role.FOLLOWER, received=40)
DRIFT = DriftSample(
    session_id="s1",
    term=1,
    role=Role.FOLLOWER,
    at_own_ns=OwnNs(1),
    mode=Mode.LAN,
    player_state=PlayerState.PLAYING,
    drift_ns=3_000_000,
    phase_ns=0,
    bound_ns=None,
    speed=1.0,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def exporter(run_dir: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = {
        "UNISONO_DEVICE_ID": "screen-1",
        "UNISONO_SITE": "lobby",
        "UNISONO_RUN_DIR": str(run_dir),
        "UNISONO_EXPORTER_PORT": str(port),
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.exporter.main"),
        env=os.environ | settings,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        await child.communicate()


class Scraper:
    """Reads series by name and labels; None for a series that is not there."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}"

    async def up(self) -> None:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self._client.get(f"{self._url}/healthz")
                    assert answer.json()["status"] == "ok"
                    return
                await asyncio.sleep(0.02)

    async def series(self) -> dict[tuple[str, frozenset[str]], float]:
        text = (await self._client.get(f"{self._url}/metrics")).text
        return {
            (sample.name, frozenset(sample.labels.values()) - {"screen-1", "lobby"}): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def value(self, name: str, *labels: str) -> float | None:
        return (await self.series()).get((f"unisono_{name}", frozenset(labels)))


async def test_metrics_follow_the_bus_through_restarts(short_dir: Path) -> None:
    port = free_port()
    async with exporter(short_dir, port) as child, httpx.AsyncClient() as client:
        scraper = Scraper(client, port)
        await scraper.up()
        # Nobody else is there yet: it serves all the same.
        assert await scraper.value("beacons_received_total") == 0
        assert await scraper.value("drift_seconds") is None
        bus = Bus(short_dir / "bus")
        corrector = bus.publisher(Owner.CORRECTOR)
        for received, expected in ((40, 40), (45, 45), (7, 52)):
            # A new socket each time, as after a restart of the beacon process.
            with bus.publisher(Owner.BEACON) as beacon:
                async with asyncio.timeout(10):
                    while await scraper.value("beacons_received_total") != expected:
                        beacon.publish(topics.LINK, replace(LINK, received=received))
                        corrector.publish(topics.DRIFT, DRIFT)
        async with asyncio.timeout(10):
            while await scraper.value("mode", "lan") != 1:
                corrector.publish(topics.DRIFT, DRIFT)
        series = await scraper.series()
        assert series[("unisono_drift_abs_seconds_bucket", frozenset({"0.005"}))] == 1
        assert series[("unisono_drift_abs_seconds_bucket", frozenset({"0.002"}))] == 0
        assert series[("unisono_drift_seconds", frozenset())] == 0.003
        assert series[("process_resident_memory_bytes", frozenset())] > 0
        bus.close()
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0


async def test_a_port_in_use_is_one_sentence_and_status_2(short_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with exporter(short_dir, port) as child:
            assert child.stderr is not None
            said = (await child.stderr.read()).decode()
            await until(lambda: child.returncode is not None)
            assert child.returncode == 2
    assert len(said.splitlines()) == 1
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" not in said
