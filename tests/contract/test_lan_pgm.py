"""PGM multicast: between two network namespaces where this libzmq has it; else, what is said.

What cannot be tested here is not collected: a machine either has PGM or it has not.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.beacon_process import beacon_devices, make_spec
from tests.support.waiting import until
from unisono.core.session import Member
from unisono.lan import pgm
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.paths import Multicast
from unisono.lan.pgm import PgmSubscriber, has_pgm
from unisono.lan.pgm_child import MIN_WINDOW_PACKETS, window_packets

GROUP, PORT = "239.192.76.9", 7699
HERE = Multicast("127.0.0.1", GROUP, PORT)


def test_the_repair_window_is_no_single_packet() -> None:
    assert window_packets >= MIN_WINDOW_PACKETS


@pytest.mark.parametrize(
    ("interface", "group", "port"),
    [
        ("eth0", GROUP, PORT),
        ("", GROUP, PORT),
        ("127.0.0.1", "films.example", PORT),
        ("127.0.0.1", "10.0.0.1", PORT),
        ("127.0.0.1", GROUP, 0),
        ("127.0.0.1", GROUP, 99_999),
    ],
)
async def test_what_libzmq_would_abort_or_hang_on_never_reaches_it(
    interface: str, group: str, port: int
) -> None:
    where = Multicast(interface, group, port)
    with pytest.raises(LanError, match=r"multicast cannot be used: .*UNISONO_MULTICAST_GROUP"):
        await PgmSubscriber(lambda: where).open(lambda _: None)


async def test_a_shortage_of_descriptors_does_not_end_the_path() -> None:
    subscriber = PgmSubscriber(lambda: HERE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        await subscriber.open(lambda _: None)
        await until(lambda: subscriber.restarts >= 2)
        assert subscriber.child.pid is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        await until(lambda: subscriber.child.pid is not None)
    finally:
        await subscriber.close()


async def test_a_silent_path_gets_a_new_child() -> None:
    subscriber = PgmSubscriber(lambda: HERE, silence_s=0.05)
    await subscriber.open(lambda _: None)
    try:
        await until(lambda: subscriber.restarts >= 2)
    finally:
        await subscriber.close()


async def test_an_address_that_is_away_is_waited_for() -> None:
    asked: list[int] = []

    def where() -> Multicast:
        asked.append(len(asked))
        if len(asked) < 4:
            raise InterfaceUnknown("no such interface")
        return HERE

    subscriber = PgmSubscriber(where)
    await subscriber.open(lambda _: None)
    try:
        await until(lambda: subscriber.child.pid is not None)
        assert subscriber.restarts == 2  # the first was asked for a sign of life only
    finally:
        await subscriber.close()


async def test_it_may_be_closed_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgm, "RETRY_S", 0.001)
    monkeypatch.setattr(sys, "executable", "/bin/true")  # a child that ends at once
    for number in range(60):
        subscriber = PgmSubscriber(lambda: HERE)
        await subscriber.open(lambda _: None)
        await asyncio.sleep(number / 5_000)
        async with asyncio.timeout(5):
            await subscriber.close()


if not has_pgm():

    async def test_a_child_that_cannot_start_is_retried_and_counted() -> None:
        subscriber = PgmSubscriber(lambda: HERE)
        await subscriber.open(lambda _: None)
        try:
            await until(lambda: subscriber.restarts >= 2)
        finally:
            await subscriber.close()

else:

    @pytest.fixture
    def namespaces() -> Iterator[tuple[str, str]]:
        """Two network namespaces joined by one cable: 10.76.9.1 and 10.76.9.2."""
        names = (f"uni-a-{os.getpid()}", f"uni-b-{os.getpid()}")

        def ip(*words: str) -> None:
            subprocess.run(("ip", *words), check=True)

        for name in names:
            ip("netns", "add", name)
        try:
            a, b = names
            ip("-n", a, "link", "add", "lan0", "type", "veth", "peer", "lan0", "netns", b)
            for name, address in ((a, "10.76.9.1/24"), (b, "10.76.9.2/24")):
                ip("-n", name, "addr", "add", address, "dev", "lan0")
                ip("-n", name, "link", "set", "lan0", "up")
                ip("-n", name, "link", "set", "lo", "up")
            yield names
        finally:
            for name in names:
                ip("netns", "del", name)

    class Peer:
        """One end, in its namespace; ``told`` is its newest line."""

        def __init__(self, process: asyncio.subprocess.Process) -> None:
            self.process = process
            self.told: dict[str, Any] = {}
            self.heard = 0
            self.reading = asyncio.create_task(self._read())

        async def _read(self) -> None:
            assert self.process.stdout is not None
            async for line in self.process.stdout:
                self.told = json.loads(line)
                self.heard += self.told.get("frames", 0)

    async def in_namespace(name: str, *command: str) -> None:
        process = await asyncio.create_subprocess_exec("ip", "netns", "exec", name, *command)
        assert await process.wait() == 0

    @contextlib.asynccontextmanager
    async def peer(namespace: str, role: str, address: str) -> AsyncIterator[Peer]:
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", namespace, sys.executable, "-m", "tests.support.pgm_peer"),
            *(role, address, GROUP, str(PORT)),
            stdout=asyncio.subprocess.PIPE,
        )
        made = Peer(process)
        try:
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            await made.reading

    @pytest.mark.root
    async def test_beacons_cross_and_one_empty_datagram_costs_a_child_only(
        namespaces: tuple[str, str],
    ) -> None:
        a, b = namespaces
        async with peer(a, "pub", "10.76.9.1") as pub, peer(b, "sub", "10.76.9.2") as sub:
            await until(lambda: sub.heard > 10)
            assert 0 <= sub.told["ages_ns"][0] < 1_000_000_000
            attack = (
                "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                "s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,"
                "socket.inet_aton('10.76.9.1'));"
                f"s.sendto(b'', ('{GROUP}', {PORT}))"
            )
            await in_namespace(a, sys.executable, "-c", attack)
            await until(lambda: sub.told["restarts"] >= 1)
            heard = sub.heard
            await until(lambda: sub.heard > heard + 10)
            # The publisher's child too may be killed at any time.
            os.kill(pub.told["pid"], 9)
            await until(lambda: pub.told["restarts"] >= 1)
            heard = sub.heard
            await until(lambda: sub.heard > heard + 10)
            assert pub.process.returncode is None
            assert sub.process.returncode is None

    @pytest.mark.root
    async def test_no_child_outlives_its_parent(namespaces: tuple[str, str]) -> None:
        async with peer(namespaces[1], "sub", "10.76.9.2") as sub:
            await until(lambda: sub.told.get("pid"))
            pid = sub.told["pid"]
            sub.process.kill()
            await until(lambda: not Path(f"/proc/{pid}").exists())

    @pytest.mark.root
    async def test_what_was_renewed_is_heard_again_and_no_restart(
        namespaces: tuple[str, str],
    ) -> None:
        a, b = namespaces
        async with peer(a, "pub", "10.76.9.1") as pub, peer(b, "sub", "10.76.9.2") as sub:
            await until(lambda: sub.heard > 10)
            for renewed in (pub, sub):
                pid = renewed.told["pid"]
                renewed.process.send_signal(signal.SIGHUP)
                await until(lambda renewed=renewed, pid=pid: renewed.told["pid"] != pid)  # type: ignore[misc]
                heard = sub.heard
                await until(lambda heard=heard: sub.heard > heard + 10)  # type: ignore[misc]
            assert pub.told["restarts"] == sub.told["restarts"] == 0

    @pytest.mark.root
    async def test_the_beacon_process_follows_by_multicast(
        namespaces: tuple[str, str], short_dir: Path
    ) -> None:
        members = [Member(f"dev-{n}", f"10.76.9.{n}", 7600, 7601) for n in (1, 2)]
        nowhere = "redis://127.0.0.1:1/0"
        flags = {"SYNC_LAN_TRANSPORT": "pgm", "UNISONO_MULTICAST_PORT": str(PORT)}
        async with beacon_devices(short_dir, members, lambda _: nowhere, flags) as devices:
            spec = make_spec(members, time.time_ns() // 1_000_000 - 5_000)
            for device, namespace in zip(devices, namespaces, strict=True):
                device.prefix = ("ip", "netns", "exec", namespace)
                device.ask(spec)
                await device.start()
            follower = devices[1]
            timing = await follower.until(lambda t: t.clock_map and t.stable_since_own_ns)
            assert timing.timeline is not None

            def copies() -> dict[str, int]:
                return follower.link.copies_by_path if follower.link is not None else {}

            await follower.until(lambda _: copies().get("pgm", 0) > 20)
            assert set(copies()) == {"pgm"}
