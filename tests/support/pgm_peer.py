"""One end of a PGM path in a process of its own: ``pgm_peer pub|sub INTERFACE GROUP PORT``.

``pub`` sends a numbered frame every 20 ms; both print JSON lines;
on SIGHUP they renew their path.
"""

import asyncio
import json
import signal
import sys

from unisono.clock import own_ns
from unisono.lan.paths import Batch, Multicast
from unisono.lan.pgm import PgmPublisher, PgmSubscriber


async def publish(where: Multicast) -> None:
    publisher = PgmPublisher(lambda: where)
    await publisher.open()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, publisher.renew)
    for number in range(1_000_000):
        publisher.send(b"frame %d" % number)
        await asyncio.sleep(0.02)
        print(json.dumps({"restarts": publisher.restarts, "pid": publisher.child.pid}), flush=True)  # noqa: T201


async def subscribe(where: Multicast) -> None:
    heard: list[Batch] = []
    subscriber = PgmSubscriber(lambda: where)

    def take(batch: Batch) -> None:
        subscriber.verified()
        heard.append(batch)

    await subscriber.open(take)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, subscriber.renew)
    while True:
        await asyncio.sleep(0.05)
        now_ns = own_ns()
        frames = [frame for batch in heard for frame in batch.frames]
        ages_ns = [now_ns - frame.received_ns for frame in frames]
        told = {
            "frames": len(frames),
            "last": [frame.data.decode() for frame in frames[-1:]],
            "ages_ns": ages_ns[-1:],
        }
        told |= {"restarts": subscriber.restarts, "pid": subscriber.child.pid}
        print(json.dumps(told), flush=True)  # noqa: T201
        heard.clear()


if __name__ == "__main__":
    role, interface, group, port = sys.argv[1:5]
    place = Multicast(interface, group, int(port))
    asyncio.run(publish(place) if role == "pub" else subscribe(place))
