"""One end of one beacon path, in a process of its own: `benchmarks.paths` starts two of them.

``python -m benchmarks.path_end send|hear PATH OWN_ADDRESS SENDER_ADDRESS SECONDS``: sends numbered
and stamped frames as large as beacons, 20 a second, or hears them; prints one JSON object.
"""

import asyncio
import json
import os
import secrets
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from unisono.clock import own_ns
from unisono.core.units import NS_PER_S
from unisono.lan.paths import (
    PGM,
    TCP,
    UDP,
    UNICAST,
    Batch,
    BeaconPublisher,
    BeaconSubscriber,
    Endpoint,
    Multicast,
)
from unisono.lan.pgm import PgmPublisher, PgmSubscriber
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.lan.udp import UdpPublisher, UdpSubscriber
from unisono.lan.unicast import UnicastPublisher, UnicastSubscriber
from unisono.runtime.loop import new_loop
from unisono.wire import KeyRing

RATE_HZ: Final = 20
WARM_UP_S: Final = 4.0  # connections, leases, address resolution
GROUP: Final = "239.192.76.1"
PORTS: Final = {TCP: 7600, PGM: 7602, UDP: 7603, UNICAST: 7604}
FRAME_BYTES: Final = 200
_HEAD: Final = struct.Struct(">Qq")
_KEYS: Final = KeyRing(bytes(32), "benchmark", 1)


def publisher(path: str, own_address: str) -> BeaconPublisher:
    """The sending end."""
    multicast = Multicast(own_address, GROUP, PORTS[path])
    endpoint = Endpoint("0.0.0.0", PORTS[path])  # noqa: S104 - of a lab's host
    if path == UDP:
        return UdpPublisher(lambda: multicast)
    if path == PGM:
        return PgmPublisher(lambda: multicast)
    if path == TCP:
        return TcpPublisher(lambda: endpoint)
    return UnicastPublisher(
        lambda: endpoint, _KEYS, term=1, members=["hear"], on_refused=lambda *_: None
    )


def subscriber(path: str, own_address: str, sender_address: str) -> BeaconSubscriber:
    """The hearing end."""
    multicast = Multicast(own_address, GROUP, PORTS[path])
    sender = Endpoint(sender_address, PORTS[path])
    if path == UDP:
        return UdpSubscriber(lambda: multicast)
    if path == PGM:
        return PgmSubscriber(lambda: multicast)
    if path == TCP:
        return TcpSubscriber(sender)
    return UnicastSubscriber("hear", _KEYS, clock_id=secrets.token_bytes(8), leader=sender, term=1)


def cpu_s(end: object) -> float:
    """CPU time of this process and of the one that holds its PGM socket."""
    total = time.process_time()
    pid = getattr(getattr(end, "child", None), "pid", None)
    if pid is not None:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


async def send(path: str, own_address: str, seconds: float) -> dict[str, Any]:
    """Send on a grid."""
    end = publisher(path, own_address)
    await end.open()
    start_ns, before_s = own_ns(), 0.0
    padding = bytes(FRAME_BYTES - _HEAD.size)
    for number in range(round((seconds + WARM_UP_S) * RATE_HZ)):
        await asyncio.sleep(max(0.0, (start_ns - own_ns()) / NS_PER_S + number / RATE_HZ))
        if number == round(WARM_UP_S * RATE_HZ):
            before_s = cpu_s(end)
        end.send(_HEAD.pack(number, own_ns()) + padding)
    told = {"cpu_pct": (cpu_s(end) - before_s) / seconds * 100}
    await asyncio.sleep(1.0)
    await end.close()
    return told


async def hear(path: str, own_address: str, sender_address: str, seconds: float) -> dict[str, Any]:
    """Hear, and note the age of the newest frame of each batch, as a follower would use it."""
    end = subscriber(path, own_address, sender_address)
    ages_ns: list[int] = []
    seen: set[int] = set()
    first = round(WARM_UP_S * RATE_HZ)
    newest = -1

    def take(batch: Batch) -> None:
        nonlocal newest
        end.verified()
        for frame in batch.frames:
            number, sent_ns = _HEAD.unpack_from(frame.data)
            if number >= first and number > newest:  # what is late behind a newer one is dropped
                seen.add(number)
                ages_ns.append(frame.received_ns - sent_ns)
            newest = max(newest, number)

    await end.open(take)
    end.want(True)
    await asyncio.sleep(WARM_UP_S)
    before_s = cpu_s(end)
    await asyncio.sleep(seconds)
    told = {"cpu_pct": (cpu_s(end) - before_s) / seconds * 100}
    await asyncio.sleep(1.0)
    await end.close()
    return told | {"delivered": len(seen), "ages_ns": ages_ns, "restarts": end.restarts}


def main() -> int:
    """Be one end."""
    role, path, own_address, sender_address, seconds = sys.argv[1:6]
    with asyncio.Runner(loop_factory=new_loop) as runner:
        told = runner.run(
            send(path, own_address, float(seconds))
            if role == "send"
            else hear(path, own_address, sender_address, float(seconds))
        )
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
