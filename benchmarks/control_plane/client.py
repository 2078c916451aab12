"""The fleet's process: it shares no interpreter with the server that it asks.

One job a line on standard input, its figures a line on standard output, both JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from benchmarks.control_plane.fleet import CADENCE, Device, Server, call, lines, set_up


class Client:
    """Does the jobs; it keeps the fleet between them."""

    def __init__(self) -> None:
        self._server = Server("", 0, "", "")
        self._devices: list[Device] = []
        self._next = 0

    async def fleet(self, job: dict[str, Any]) -> dict[str, Any]:
        """Set a fleet up at these ``sites`` (name to number of devices)."""
        self._server = Server(**job["server"])
        began_s = time.monotonic()
        self._devices = await set_up(self._server, job["sites"], job["interval_s"])
        return {"devices": len(self._devices), "seconds": time.monotonic() - began_s}

    async def saturate(self, job: dict[str, Any]) -> dict[str, Any]:
        """As many calls as are answered in ``seconds``, at most ``calls``; as fast as they come."""
        statuses: Counter[int] = Counter()
        began_s = time.monotonic()
        first, last = self._next, self._next + job["calls"]
        ends_s = began_s + job["seconds"]
        cadence = job.get("cadence", CADENCE)
        async with lines(self._server, job["lines"]) as pool:

            async def keep_asking(line: Any) -> None:
                while time.monotonic() < ends_s and self._next < last:
                    asked = call(self._devices, self._next, cadence)
                    self._next += 1
                    statuses[(await line.ask(asked)).status] += 1

            await asyncio.gather(*(keep_asking(line) for line in pool))
        return {
            "calls": self._next - first,
            "seconds": time.monotonic() - began_s,
            "statuses": statuses,
        }

    async def arrive(self, job: dict[str, Any]) -> dict[str, Any]:
        """Calls at random instants, ``rate_hz`` on average, answered earlier ones or not.

        Latency counts from the instant at which the call was due: what waits for a free
        connection, or for this process, waits in the figures too.
        """
        statuses: Counter[int] = Counter()
        latencies_s: list[float] = []
        chance = random.Random(job["seed"])
        due: asyncio.Queue[float] = asyncio.Queue()
        began_s = time.monotonic()

        async def keep_asking(line: Any) -> None:
            while True:
                at_s = await due.get()
                asked = call(self._devices, self._next, CADENCE)
                self._next += 1
                statuses[(await line.ask(asked)).status] += 1
                latencies_s.append(time.monotonic() - at_s)
                due.task_done()

        async with lines(self._server, job["lines"]) as pool:
            workers = [asyncio.create_task(keep_asking(line)) for line in pool]
            at_s = began_s
            while (at_s := at_s + chance.expovariate(job["rate_hz"])) < began_s + job["seconds"]:
                await asyncio.sleep(max(0.0, at_s - time.monotonic()))
                due.put_nowait(at_s)
            await due.join()
            for worker in workers:
                worker.cancel()
        latencies_s.sort()
        return {
            "calls": len(latencies_s),
            "seconds": time.monotonic() - began_s,
            "statuses": statuses,
            "latency_ms": {p: 1e3 * _quantile(latencies_s, p / 100) for p in (50, 95, 99)},
        }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def main() -> None:
    """Do jobs until standard input ends."""
    client = Client()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        job = json.loads(line)
        try:
            found = await getattr(client, job["do"])(job)
        except (RuntimeError, OSError) as error:
            found = {"failed": str(error)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
