"""The bus over real sockets and its twin in memory keep the same promises."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import until
from unisono.bus import AnyBus, Bus, MemoryBus, Subscriber, topics
from unisono.bus.bus import READ_AT_ONCE
from unisono.bus.topics import LinkStats, Owner, Timing
from unisono.core.clockmap import identity
from unisono.core.errors import UserError
from unisono.core.session import Desired, Role
from unisono.core.timeline import Timeline
from unisono.core.units import OwnNs


def timing(number: int) -> Timing:
    return Timing(
        session_id="s",
        term=number,
        role=Role.MASTER,
        clock_map=identity(OwnNs(number)),
        timeline=Timeline(-5, 30),
        beacon_own_ns=None,
        stable_since_own_ns=OwnNs(3),
        path="tcp",
    )


def link(received: int) -> LinkStats:
    return LinkStats("s", 1, Role.FOLLOWER, received=received, refused={"late": 2})


@pytest.fixture(params=["sockets", "memory"])
async def bus(request: pytest.FixtureRequest, short_dir: Path) -> AsyncIterator[AnyBus]:
    made: AnyBus = Bus(short_dir / "run" / "bus") if request.param == "sockets" else MemoryBus()
    yield made
    made.close()


async def met(publish: Callable[[], None], subscriber: Subscriber) -> None:
    """Publish until the subscriber is heard of; then nothing of it is left waiting."""
    newest = asyncio.ensure_future(subscriber.newest())
    async with asyncio.timeout(10):
        while not newest.done():
            publish()
            await asyncio.sleep(0.01)
    await newest


async def test_messages_arrive_in_order_with_their_topic(bus: AnyBus) -> None:
    publisher = bus.publisher(Owner.BEACON)
    subscriber = bus.subscriber((topics.TIMING, topics.LINK))
    await met(lambda: publisher.publish(topics.TIMING, timing(0)), subscriber)
    for number in range(1, 4):
        publisher.publish(topics.TIMING, timing(number))
        publisher.publish(topics.LINK, link(number))
    seen = []
    async with asyncio.timeout(10):
        async for topic, message in subscriber:
            if message != timing(0):
                seen.append((topic, message))
            if len(seen) == 6:
                break
    expected = [
        pair for n in (1, 2, 3) for pair in ((topics.TIMING, timing(n)), (topics.LINK, link(n)))
    ]
    assert seen == expected


async def test_a_slow_consumer_sees_the_newest(bus: AnyBus) -> None:
    publisher = bus.publisher(Owner.BEACON)
    subscriber = bus.subscriber((topics.TIMING, topics.LINK))
    await met(lambda: publisher.publish(topics.TIMING, timing(0)), subscriber)
    for number in range(1, 40):
        publisher.publish(topics.TIMING, timing(number))
    publisher.publish(topics.LINK, link(7))
    async with asyncio.timeout(10):
        last: dict[topics.Topic, object] = {}
        while topics.LINK not in last:
            last |= await subscriber.newest()
    assert last == {topics.TIMING: timing(39), topics.LINK: link(7)}


async def test_only_topics_asked_for_arrive_and_owners_stand_apart(bus: AnyBus) -> None:
    beacon, bridge = bus.publisher(Owner.BEACON), bus.publisher(Owner.CLOUD_BRIDGE)
    subscriber = bus.subscriber((topics.LINK, topics.DESIRED))
    await met(lambda: beacon.publish(topics.LINK, link(0)), subscriber)
    await met(lambda: bridge.publish(topics.DESIRED, Desired(0, None)), subscriber)
    beacon.publish(topics.TIMING, timing(1))
    bridge.publish(topics.DESIRED, Desired(5, None))
    async with asyncio.timeout(10):
        while (got := await subscriber.receive())[1] in (link(0), Desired(0, None)):
            pass
    assert got == (topics.DESIRED, Desired(5, None))


async def test_a_publisher_speaks_for_its_owner_and_its_types_only(bus: AnyBus) -> None:
    publisher = bus.publisher(Owner.CORRECTOR)
    with pytest.raises(ValueError, match="belongs to beacon"):
        publisher.publish(topics.TIMING, timing(1))
    with pytest.raises(TypeError, match="carries DriftSample"):
        publisher.publish(topics.DRIFT, timing(1))


async def test_repeat_brings_late_comers_up_to_date(bus: AnyBus) -> None:
    publisher = bus.publisher(Owner.BEACON)
    publisher.publish(topics.TIMING, timing(9))
    subscriber = bus.subscriber((topics.TIMING,))
    receiving = asyncio.ensure_future(subscriber.receive())
    async with asyncio.timeout(10):
        while not receiving.done():
            publisher.repeat()
            await asyncio.sleep(0.02)
    assert await receiving == (topics.TIMING, timing(9))


async def test_what_cannot_be_decoded_is_counted_and_dropped(bus: AnyBus) -> None:
    publisher = bus.publisher(Owner.BEACON)
    subscriber = bus.subscriber((topics.TIMING,))
    await met(lambda: publisher.publish(topics.TIMING, timing(0)), subscriber)
    for body in (b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", b"\xff" * 9):
        subscriber.arrive([b"timing", body])
    subscriber.arrive([b"no such topic", b"\x80"])
    subscriber.arrive([b"timing"])
    publisher.publish(topics.TIMING, timing(4))
    async with asyncio.timeout(10):
        while (await subscriber.receive())[1] != timing(4):
            pass
    assert subscriber.undecodable == {"timing": 5, "?": 2}


async def test_publishers_come_back_on_the_same_socket(short_dir: Path) -> None:
    with_subscriber, others = Bus(short_dir), Bus(short_dir)
    try:
        subscriber = with_subscriber.subscriber((topics.LINK,))  # before there is any publisher
        for number in (1, 2, 3):
            with others.publisher(Owner.BEACON) as publisher:
                await met(partial(publisher.publish, topics.LINK, link(number)), subscriber)
    finally:
        with_subscriber.close()
        others.close()


async def test_the_directory_belongs_to_one_user_and_leftovers_are_replaced(
    short_dir: Path,
) -> None:
    directory = short_dir / "deep" / "bus"
    bus = Bus(directory)
    try:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "beacon.sock").touch()  # of a process that died
        publisher = bus.publisher(Owner.BEACON)
        subscriber = bus.subscriber((topics.LINK,))
        await met(lambda: publisher.publish(topics.LINK, link(1)), subscriber)
    finally:
        bus.close()


async def test_an_owner_has_one_publisher_at_a_time(bus: AnyBus) -> None:
    first = bus.publisher(Owner.BEACON)
    with pytest.raises(UserError, match="another beacon process of this device is running"):
        bus.publisher(Owner.BEACON)
    bus.publisher(Owner.CORRECTOR)
    first.close()
    bus.publisher(Owner.BEACON)


HOLD = """
import os, sys, time
from pathlib import Path
from unisono.bus import Bus
from unisono.bus.topics import Owner
publisher = Bus(Path(sys.argv[1])).publisher(Owner.BEACON)
print("held", flush=True)
time.sleep(60)
"""


def test_another_process_does_not_take_over_until_the_first_is_dead(short_dir: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(short_dir)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    bus = Bus(short_dir)
    try:
        with pytest.raises(UserError, match=r"beacon\.lock: another beacon process"):
            bus.publisher(Owner.BEACON)
        holder.kill()  # as a power cut would: nothing is tidied up
        holder.wait()
        bus.publisher(Owner.BEACON)
    finally:
        holder.kill()
        holder.communicate()
        bus.close()


async def test_a_socket_that_cannot_be_bound_is_one_sentence(short_dir: Path) -> None:
    directory = short_dir / ("x" * 100)  # unix sockets have short names
    bus = Bus(directory)
    try:
        with pytest.raises(UserError, match=r"cannot be bound .*UNISONO_RUN_DIR") as caught:
            bus.publisher(Owner.BEACON)
        assert "\n" not in str(caught.value)
    finally:
        bus.close()


def test_a_directory_open_to_others_is_closed_to_them(short_dir: Path) -> None:
    short_dir.chmod(0o775)
    Bus(short_dir).close()
    assert stat.S_IMODE(short_dir.stat().st_mode) == 0o700


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(short_dir: Path) -> None:
    directory = short_dir / "bus"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12_345, -1)
    with pytest.raises(UserError, match="belongs to another user"):
        Bus(directory)


async def test_a_flood_is_read_in_portions_and_to_its_end(short_dir: Path) -> None:
    bus, loop = Bus(short_dir), asyncio.get_running_loop()
    turn, turns = 0, Counter[int]()

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(next_turn)

    try:
        beacon, bridge = bus.publisher(Owner.BEACON), bus.publisher(Owner.CLOUD_BRIDGE)
        subscriber = bus.subscriber((topics.LINK, topics.DESIRED))
        await met(lambda: beacon.publish(topics.LINK, link(0)), subscriber)
        await met(lambda: bridge.publish(topics.DESIRED, Desired(0, None)), subscriber)
        take = subscriber.arrive

        def arrive(frames: list[bytes]) -> None:
            turns[turn] += 1
            take(frames)

        subscriber.arrive = arrive  # type: ignore[method-assign]
        for number in range(each := READ_AT_ONCE * 3 // 4):
            beacon.publish(topics.LINK, link(number))
            bridge.publish(topics.DESIRED, Desired(number, None))
        next_turn()
        time.sleep(0.1)  # noqa: ASYNC251 - all of it is there when this loop looks again
        await until(lambda: turns.total() >= 2 * each)
        assert max(turns.values()) <= READ_AT_ONCE
    finally:
        bus.close()
