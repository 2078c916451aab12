"""Beacon paths and probe links: the real ones and their twins in memory, under one contract."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from tests.support.beacon_process import free_port
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.core.estimator import ProbeSample
from unisono.lan.datagrams import DatagramLink, UdpLink, arrival_ns
from unisono.lan.errors import AddressInUse, PathUnavailable
from unisono.lan.memory import MemoryLink, MemoryNetwork, MemoryPublisher, MemorySubscriber
from unisono.lan.paths import (
    BATCH_FRAMES,
    Batch,
    BeaconPublisher,
    BeaconSubscriber,
    Endpoint,
    choose_paths,
)
from unisono.lan.probes import ProbeClient, ProbeResponder
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.wire import KeyRing, Refused

HOST = "127.0.0.1"


@dataclass
class Lan:
    """One kind of network: how to make its parts."""

    publisher: Callable[[Endpoint], BeaconPublisher]
    subscriber: Callable[..., BeaconSubscriber]
    link: Callable[..., DatagramLink]


@pytest.fixture(params=["sockets", "memory"])
def lan(request: pytest.FixtureRequest) -> Lan:
    if request.param == "sockets":
        return Lan(TcpPublisher, TcpSubscriber, UdpLink)
    network = MemoryNetwork(seed=1, delay_s=0.001, jitter_s=0.001)
    return Lan(
        lambda endpoint: MemoryPublisher(network, endpoint),
        lambda *args: MemorySubscriber(network, *args),
        lambda *args: MemoryLink(network, *args),
    )


@contextlib.asynccontextmanager
async def publishing(lan: Lan, endpoint: Endpoint) -> AsyncIterator[BeaconPublisher]:
    publisher = lan.publisher(endpoint)
    await publisher.open()
    try:
        yield publisher
    finally:
        await publisher.close()


@contextlib.asynccontextmanager
async def listening(subscriber: BeaconSubscriber) -> AsyncIterator[list[Batch]]:
    batches: list[Batch] = []
    await subscriber.open(batches.append)
    try:
        yield batches
    finally:
        await subscriber.close()


def frames(batches: list[Batch]) -> list[bytes]:
    return [frame for batch in batches for frame in batch.frames]


async def heard(publisher: BeaconPublisher, frame: bytes, batches: list[Batch]) -> None:
    """Send until it arrives."""

    def arrived() -> bool:
        if frame in frames(batches):
            return True
        publisher.send(frame)
        return False

    await until(arrived)


async def test_frames_arrive_whole_stamped_and_named(lan: Lan) -> None:
    endpoint = Endpoint(HOST, free_port())
    before_ns = own_ns()
    async with (
        listening(lan.subscriber(endpoint)) as one,
        listening(lan.subscriber(endpoint)) as two,
        publishing(lan, endpoint) as publisher,
    ):
        for batches in (one, two):
            await heard(publisher, bytes(range(255)), batches)
        for batch in (*one, *two):
            assert before_ns < batch.received_ns <= own_ns()
            assert batch.path == publisher.path
            assert 0 < len(batch.frames) <= BATCH_FRAMES


async def test_publishers_come_and_go_and_standby_members_are_heard(lan: Lan) -> None:
    leader, other = Endpoint(HOST, free_port()), Endpoint(HOST, free_port())
    async with listening(lan.subscriber(leader, [other])) as batches:
        for number in range(3):
            async with publishing(lan, leader) as publisher:
                await heard(publisher, b"leader %d" % number, batches)
        async with publishing(lan, other) as publisher:
            await heard(publisher, b"other", batches)


async def test_nothing_arrives_after_closing(lan: Lan) -> None:
    endpoint = Endpoint(HOST, free_port())
    async with publishing(lan, endpoint) as publisher:
        async with listening(lan.subscriber(endpoint)) as batches:
            await heard(publisher, b"one", batches)
        async with listening(lan.subscriber(endpoint)) as later:
            await heard(publisher, b"two", later)
        assert b"two" not in frames(batches)
    assert publisher.send(b"three") is False


async def test_a_port_in_use_is_one_sentence(lan: Lan) -> None:
    endpoint = Endpoint(HOST, free_port())
    async with publishing(lan, endpoint):
        with pytest.raises(AddressInUse, match=f"TCP port {endpoint.port} is in use: set UNISONO"):
            await lan.publisher(endpoint).open()
    link = lan.link(HOST)
    with pytest.raises(AddressInUse, match=f"UDP port {link.endpoint.port} is in use"):
        lan.link(HOST, link.endpoint.port)
    link.close()


async def test_a_stalled_subscriber_gets_the_newest_few() -> None:
    endpoint = Endpoint(HOST, free_port())
    lan = Lan(TcpPublisher, TcpSubscriber, UdpLink)
    async with (
        publishing(lan, endpoint) as publisher,
        listening(lan.subscriber(endpoint)) as batches,
    ):
        await heard(publisher, b"first", batches)
        batches.clear()
        # All of them are sent before the loop may read again.
        for number in range(300):
            publisher.send(b"%d" % number)
        await heard(publisher, b"last", batches)
        assert all(len(batch.frames) <= BATCH_FRAMES for batch in batches)


async def test_a_silent_subscriber_opens_its_sockets_anew() -> None:
    endpoint = Endpoint(HOST, free_port())
    subscriber = TcpSubscriber(endpoint, silence_s=0.05)
    async with listening(subscriber) as batches:
        await until(lambda: subscriber.restarts >= 2)
        async with publishing(Lan(TcpPublisher, TcpSubscriber, UdpLink), endpoint) as publisher:
            await heard(publisher, b"there", batches)


class Probing:
    """A master that answers and a follower that asks, and what both refused."""

    def __init__(self, lan: Lan, *, asked: KeyRing | None = None) -> None:
        self.ring = KeyRing(b"secret", "session", 4)
        self.samples: list[ProbeSample] = []
        self.refused: list[str] = []
        self.master_link, self.follower_link = lan.link(HOST), lan.link(HOST)
        self.responder = ProbeResponder(
            self.master_link, self.ring, term=4, device_id="master", on_refused=self._refuse
        )
        self.client = ProbeClient(
            self.follower_link,
            asked or self.ring,
            device_id="follower",
            on_sample=self.samples.append,
            on_refused=self._refuse,
        )

    def _refuse(self, refused: Refused, sender: Endpoint) -> None:
        assert sender.port
        self.refused.append(refused.reason.value)

    def close(self) -> None:
        self.responder.close()
        self.client.close()


@pytest.fixture
def probing(lan: Lan) -> object:
    return lambda **kwargs: contextlib.closing(Probing(lan, **kwargs))


Make = Callable[..., contextlib.closing[Probing]]


async def test_a_probe_yields_four_stamps_in_order(probing: Make) -> None:
    with probing() as both:
        assert both.client.ask(both.master_link.endpoint, "master", 4)
        await until(lambda: both.samples)
        (sample,) = both.samples
        # One machine, one clock: the four stamps lie in the order of the events.
        stamps = (
            sample.own_sent_ns,
            sample.master_received_ns,
            sample.master_sent_ns,
            sample.own_received_ns,
        )
        assert list(stamps) == sorted(stamps)
        assert sample.rtt_ns >= 0
        assert (both.client.sent, both.client.answered, both.responder.answered) == (1, 1, 1)


async def test_replies_of_another_device_and_repeated_ones_are_refused(probing: Make) -> None:
    with probing() as both:
        both.client.ask(both.master_link.endpoint, "someone else", 4)
        await until(lambda: both.refused == ["wrong_master"])
        assert not both.samples


async def test_strange_datagrams_are_refused_at_both_ends(probing: Make, lan: Lan) -> None:
    with probing() as both, contextlib.closing(lan.link(HOST)) as stranger:
        for data in (b"", b"x", bytes(80), b"UP" + bytes(78), bytes(400)):
            stranger.send(data, both.master_link.endpoint)
            stranger.send(data, both.follower_link.endpoint)
        await until(lambda: len(both.refused) == 10)
        assert set(both.refused) == {"size", "malformed", "version"}


async def test_a_replayed_reply_is_unsolicited(probing: Make, lan: Lan) -> None:
    with probing() as both, contextlib.closing(lan.link(HOST)) as wire_tap:
        seen: list[bytes] = []
        wire_tap.listen(lambda data, *_: seen.append(data))
        both.client.ask(wire_tap.endpoint, "master", 4)  # the request passes by the tap
        await until(lambda: seen)
        request = seen.pop()
        wire_tap.send(request, both.master_link.endpoint)
        await until(lambda: seen)
        (reply,) = seen
        for _ in range(2):
            wire_tap.send(reply, both.follower_link.endpoint)
        await until(lambda: both.refused == ["unsolicited"] and len(both.samples) == 1)
        assert len(reply) <= len(request)


@pytest.mark.parametrize(
    ("ring", "term", "reason"),
    [
        (KeyRing(b"another", "session", 4), 4, "unknown_key"),
        (KeyRing(b"secret", "other", 4), 4, "foreign_session"),
        (KeyRing(b"secret", "session", 3), 3, "old_term"),
        (KeyRing(b"secret", "session", 5), 5, "wrong_master"),  # we are no master of that term
    ],
)
async def test_a_master_answers_its_own_term_only(
    probing: Make, ring: KeyRing, term: int, reason: str
) -> None:
    with probing(asked=ring) as both:
        both.client.ask(both.master_link.endpoint, "master", term)
        await until(lambda: both.refused == [reason])
        assert both.responder.answered == 0


async def test_sending_into_the_void_is_no_error(lan: Lan) -> None:
    with contextlib.closing(lan.link(HOST)) as link:
        assert link.send(b"x", Endpoint(HOST, free_port(socket.SOCK_DGRAM)))


async def test_a_lossy_memory_network_loses_by_its_seed() -> None:
    async def run(seed: int) -> list[bytes]:
        network = MemoryNetwork(seed=seed, loss=0.5)
        endpoint = Endpoint(HOST, 1)
        publisher = MemoryPublisher(network, endpoint)
        await publisher.open()
        async with listening(MemorySubscriber(network, endpoint)) as batches:
            for number in range(40):
                publisher.send(b"%d" % number)
            for _ in range(3):
                await asyncio.sleep(0)
        return frames(batches)

    first = await run(1)
    assert 5 < len(first) < 35
    assert await run(1) == first
    assert await run(2) != first


def test_a_stamp_of_the_kernel_survives_a_wall_clock_that_is_set() -> None:
    now_ns = own_ns()
    absurd = [(socket.SOL_SOCKET, 35, bytes(16))]  # 1970
    assert arrival_ns(absurd) >= now_ns
    assert arrival_ns([]) >= now_ns


def test_paths_are_chosen_by_the_flag_and_by_what_there_is() -> None:
    assert choose_paths("auto", has_pgm=False) == ("tcp",)
    assert choose_paths("auto", has_pgm=True) == ("tcp", "pgm")
    assert choose_paths("tcp", has_pgm=True) == ("tcp",)
    assert choose_paths("pgm", has_pgm=True) == ("pgm",)
    with pytest.raises(PathUnavailable, match="has no PGM; use tcp or auto") as caught:
        choose_paths("pgm", has_pgm=False)
    assert "\n" not in str(caught.value)
