"""Beacon paths: the real ones and their twins in memory, under one contract."""

import asyncio
import socket
import time

import pytest

from tests.support.lan_kinds import (
    HOST,
    TERM,
    Kind,
    frames,
    heard,
    listening,
    make_kind,
    publishing,
    silent,
    texts,
)
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.core.units import NS_PER_MS
from unisono.lan import unicast
from unisono.lan.errors import AddressInUse
from unisono.lan.memory import MemoryNetwork, MemoryPublisher, MemorySubscriber
from unisono.lan.paths import READ_AT_ONCE, Batch, Endpoint

ON_DEMAND = ["tcp", "udp-unicast", "memory"]
SOCKETS = ["tcp", "udp-unicast", "udp"]
ALL = [*ON_DEMAND, "udp", "memory-multicast"]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    return make_kind(request.param)


def every(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", names, indirect=True)


@every(ALL)
async def test_frames_arrive_whole_stamped_and_with_their_sender(kind: Kind) -> None:
    place = kind.place()
    before_ns = own_ns()
    async with (
        listening(kind.subscriber(place)) as one,
        listening(kind.subscriber(place)) as two,
        publishing(kind.publisher(place)) as publisher,
    ):
        for batches in (one, two):
            await heard(publisher, bytes(range(255)), batches)
        for batch in (*one, *two):
            assert batch.path == publisher.path
            assert 0 < len(batch.frames) <= READ_AT_ONCE
        for frame in frames([*one, *two]):
            assert before_ns < frame.received_ns <= own_ns()
            assert frame.sender == HOST


@every(ON_DEMAND)
async def test_what_is_not_wanted_does_not_come(kind: Kind) -> None:
    place = kind.place()
    subscriber = kind.subscriber(place)
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(subscriber, wanted=False) as batches,
    ):
        assert subscriber.on_demand
        for _ in range(2):
            await silent(publisher, batches)
            subscriber.want(True)
            await heard(publisher, b"wanted", batches)
            subscriber.want(False)
        await silent(publisher, batches)


@every(["udp", "memory-multicast"])
async def test_multicast_is_heard_whatever_is_wanted_and_whoever_leads(kind: Kind) -> None:
    place = kind.place()
    subscriber = kind.subscriber(place)
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(subscriber, wanted=False) as batches,
    ):
        assert not subscriber.on_demand
        subscriber.follow(None, TERM + 1)
        await heard(publisher, b"for all", batches)


@every(ON_DEMAND)
async def test_publishers_come_and_go_and_standby_members_are_heard(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unicast, "ASK_EVERY_S", 0.1)
    leader, other = kind.place(), kind.place()
    async with listening(kind.subscriber(leader, [other])) as batches:
        for number in range(3):
            async with publishing(kind.publisher(leader)) as publisher:
                await heard(publisher, b"leader %d" % number, batches)
        # It can lead the next term only.
        async with publishing(kind.publisher(other, TERM + 1)) as publisher:
            await heard(publisher, b"other", batches)
        # And the leader, if it is back, is heard again.
        async with publishing(kind.publisher(leader)) as publisher:
            await heard(publisher, b"back", batches)


@every(SOCKETS)
async def test_a_slow_and_unsteady_beat_is_no_silence(kind: Kind) -> None:
    place, period_s = kind.place(), 0.08
    subscriber = kind.subscriber(place, silence_s=2.5 * period_s)
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(subscriber) as batches,
    ):
        await heard(publisher, b"first", batches)
        restarts, beats = subscriber.restarts, [b"%d" % number for number in range(8)]
        for number, beat in enumerate(beats):
            await asyncio.sleep(period_s * (1.3 if number % 2 else 0.8))
            publisher.send(beat)
        await until(lambda: beats[-1] in texts(batches))
        assert [text for text in texts(batches) if text in beats] == beats
        assert subscriber.restarts == restarts


@every(SOCKETS)
async def test_noise_is_no_sign_of_life(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unicast, "ASK_EVERY_S", 0.05)
    place, other = kind.place(), kind.place()
    subscriber = kind.subscriber(place, [other], silence_s=0.1)
    async with (
        publishing(kind.publisher(place)) as noisy,
        publishing(kind.publisher(other, TERM + 1)) as second,
        listening(subscriber, verified=False) as batches,
    ):
        await heard(noisy, b"noise", batches)

        def looked_elsewhere() -> bool:
            noisy.send(b"noise")
            second.send(b"second")
            return b"second" in texts(batches) if kind.on_demand else subscriber.restarts > 0

        await until(looked_elsewhere)


@every(ON_DEMAND)
async def test_another_leader_is_followed(kind: Kind) -> None:
    leader, other = kind.place(), kind.place()
    subscriber = kind.subscriber(leader)
    async with (
        publishing(kind.publisher(leader)) as first,
        publishing(kind.publisher(other, TERM + 1)) as second,
        listening(subscriber) as batches,
    ):
        await heard(first, b"first", batches)
        subscriber.follow(other, TERM + 1)
        await heard(second, b"second", batches)
        subscriber.want(False)
        subscriber.follow(None, TERM + 2)
        await silent(second, batches)
        subscriber.want(True)
        subscriber.follow(other, TERM + 1)
        await heard(second, b"and again", batches)


@every(ALL)
async def test_renewing_keeps_the_flow(kind: Kind) -> None:
    place = kind.place()
    subscriber = kind.subscriber(place)
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(subscriber) as batches,
    ):
        await heard(publisher, b"before", batches)
        for number in range(3):
            publisher.renew()
            await heard(publisher, b"sender %d" % number, batches)
            subscriber.renew()
            await heard(publisher, b"receiver %d" % number, batches)
        assert publisher.restarts == subscriber.restarts == 0
    # Late news of the LAN harms nothing.
    publisher.renew()
    subscriber.renew()
    assert publisher.send(b"closed") is False


@every(ALL)
async def test_nothing_arrives_after_closing(kind: Kind) -> None:
    place = kind.place()
    async with publishing(kind.publisher(place)) as publisher:
        async with listening(kind.subscriber(place)) as batches:
            await heard(publisher, b"one", batches)
        async with listening(kind.subscriber(place)) as later:
            await heard(publisher, b"two", later)
        assert b"two" not in texts(batches)
    assert publisher.send(b"three") is False


@every(ON_DEMAND)
async def test_a_port_in_use_is_one_sentence(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unisono.lan.tcp.BIND_PATIENCE_S", 0.1)
    place = kind.place()
    async with publishing(kind.publisher(place)):
        sentence = rf"(TCP|UDP) port {place.port} is in use: set UNISONO_BEACON_PORT to a free one$"
        with pytest.raises(AddressInUse, match=sentence):
            await kind.publisher(place).open()


async def test_a_group_whose_port_is_in_use_is_one_sentence() -> None:
    kind = make_kind("udp")
    place = kind.place()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as selfish:
        selfish.bind(("", place.port))
        sentence = f"UDP port {place.port} is in use: set UNISONO_UDP_PORT to a free one$"
        with pytest.raises(AddressInUse, match=sentence):
            await kind.subscriber(place).open(lambda _: None)


@every(SOCKETS)
async def test_a_stalled_subscriber_gets_the_newest(kind: Kind) -> None:
    place = kind.place()
    async with (
        publishing(kind.publisher(place)) as publisher,
        listening(kind.subscriber(place)) as batches,
    ):
        await heard(publisher, b"first", batches)
        await silent_queue(batches)
        # All of them are sent before the loop may read again.
        for number in range(READ_AT_ONCE + 20):
            publisher.send(b"%d" % number)
            time.sleep(0.001)  # noqa: ASYNC251 - this process is stalled
        await until(lambda: texts(batches)[-1:] == [b"%d" % (READ_AT_ONCE + 19)])
        assert all(len(batch.frames) <= READ_AT_ONCE for batch in batches)


async def silent_queue(batches: list[Batch]) -> None:
    """What is under way arrives."""
    await asyncio.sleep(0.05)
    batches.clear()


async def test_a_lossy_memory_network_loses_by_its_seed() -> None:
    async def run(seed: int) -> list[bytes]:
        network = MemoryNetwork(seed=seed, loss=0.5)
        endpoint = Endpoint(HOST, 1)
        async with (
            publishing(MemoryPublisher(network, lambda: endpoint)) as publisher,
            listening(MemorySubscriber(network, endpoint)) as batches,
        ):
            for number in range(40):
                publisher.send(b"%d" % number)
            await asyncio.sleep(0.01)
        return texts(batches)

    first = await run(1)
    assert 5 < len(first) < 35
    assert await run(1) == first
    assert await run(2) != first


async def test_a_model_of_the_network_may_lose_and_double() -> None:
    asked: list[tuple[int, bool]] = []

    def delays(now_ns: int, size_bytes: int, multicast: bool) -> list[int]:
        asked.append((size_bytes, multicast))
        return [] if size_bytes == 1 else [now_ns, now_ns + NS_PER_MS]

    network, endpoint = MemoryNetwork(delays=delays), Endpoint(HOST, 1)
    async with (
        publishing(MemoryPublisher(network, lambda: endpoint)) as publisher,
        listening(MemorySubscriber(network, endpoint)) as batches,
    ):
        for text in (b"1", b"22"):
            publisher.send(text)
        await until(lambda: texts(batches) == [b"22", b"22"])
    assert asked == [(1, False), (2, False)]
