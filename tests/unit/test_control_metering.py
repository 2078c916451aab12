"""CPU time is metered by call: waiting costs nothing, and nobody pays for another's work."""

import asyncio
import time

import pytest

from services.control_plane.metering import Meter, Tails, metered

MS = 1_000_000


def burn(cpu_ms: int) -> None:
    until_ns = time.thread_time_ns() + cpu_ms * MS
    while time.thread_time_ns() < until_ns:
        pass


async def test_only_the_calls_own_steps_count() -> None:
    idle, busy = Meter(), Meter()
    begun = asyncio.Event()

    async def waits() -> str:
        begun.set()
        await asyncio.sleep(0)
        await worked.wait()
        return "waited"

    async def works() -> None:
        await begun.wait()
        burn(20)
        worked.set()

    worked = asyncio.Event()
    outcome, _ = await asyncio.gather(metered(waits(), idle), metered(works(), busy))
    assert outcome == "waited"
    assert busy.used_ns() >= 20 * MS
    assert idle.used_ns() < busy.used_ns() / 2


async def test_an_error_passes_and_what_it_cost_counts() -> None:
    meter = Meter()

    async def fails() -> None:
        burn(2)
        raise KeyError("it")

    with pytest.raises(KeyError):
        await metered(fails(), meter)
    assert meter.used_ns() >= 2 * MS


async def test_a_cancelled_call_is_cancelled_inside() -> None:
    meter, ended = Meter(), asyncio.Event()

    async def waits_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def outer() -> None:
        await metered(waits_for_ever(), meter)

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_error_that_the_call_waits_for_reaches_it() -> None:
    async def waits(future: "asyncio.Future[None]") -> str:
        try:
            await future
        except ValueError:
            return "seen"
        return "missed"

    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError())
    assert await metered(waits(future), Meter()) == "seen"


def test_time_of_other_threads_is_added() -> None:
    meter = Meter()
    meter.add_ns(5 * MS)
    assert meter.used_ns() == 5 * MS


def test_what_comes_after_the_count_is_counted_once_with_the_next_call() -> None:
    tails = Tails()
    assert tails.take("status") == 0
    tails.leave("status", 2)
    tails.leave("status", 3)
    assert tails.take("heartbeat") == 0
    assert tails.take("status") == 5
    assert tails.take("status") == 0
