"""Probe links: datagrams and their twin in memory, under one contract."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from tests.support.beacon_process import free_port
from tests.support.waiting import until
from unisono.clock import own_ns
from unisono.core.samples import ProbeSample
from unisono.lan.datagrams import DatagramLink, UdpLink, arrival_ns
from unisono.lan.errors import AddressInUse
from unisono.lan.memory import MemoryLink, MemoryNetwork
from unisono.lan.paths import Endpoint
from unisono.lan.probes import ProbeClient, ProbeResponder
from unisono.wire import KeyRing, Refused

HOST = "127.0.0.1"
Link = Callable[..., DatagramLink]


@pytest.fixture(params=["sockets", "memory"])
def lan(request: pytest.FixtureRequest) -> Link:
    if request.param == "sockets":
        return UdpLink
    network = MemoryNetwork(seed=1, delay_s=0.001, jitter_s=0.001)
    return lambda *args: MemoryLink(network, *args)


def test_a_port_in_use_is_one_sentence(lan: Link) -> None:
    link = lan(HOST)
    with pytest.raises(AddressInUse, match=f"UDP port {link.endpoint.port} is in use"):
        lan(HOST, link.endpoint.port)
    link.close()


class Probing:
    """A master that answers and a follower that asks, and what both refused."""

    def __init__(self, lan: Link, *, asked: KeyRing | None = None) -> None:
        self.ring = KeyRing(b"secret", "session", 4)
        self.samples: list[ProbeSample] = []
        self.refused: list[str] = []
        self.master_link, self.follower_link = lan(HOST), lan(HOST)
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
def probing(lan: Link) -> object:
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


async def test_strange_datagrams_are_refused_at_both_ends(probing: Make, lan: Link) -> None:
    with probing() as both, contextlib.closing(lan(HOST)) as stranger:
        for data in (b"", b"x", bytes(80), b"UP" + bytes(78), bytes(400)):
            stranger.send(data, both.master_link.endpoint)
            stranger.send(data, both.follower_link.endpoint)
        await until(lambda: len(both.refused) == 10)
        assert set(both.refused) == {"size", "malformed", "version"}


async def test_a_replayed_reply_is_unsolicited(probing: Make, lan: Link) -> None:
    with probing() as both, contextlib.closing(lan(HOST)) as wire_tap:
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


async def test_sending_into_the_void_is_no_error(lan: Link) -> None:
    with contextlib.closing(lan(HOST)) as link:
        assert link.send(b"x", Endpoint(HOST, free_port(socket.SOCK_DGRAM)))


def test_a_stamp_of_the_kernel_survives_a_wall_clock_that_is_set() -> None:
    now_ns = own_ns()
    absurd = [(socket.SOL_SOCKET, 35, bytes(16))]  # 1970
    assert arrival_ns(absurd) >= now_ns
    assert arrival_ns([]) >= now_ns


async def test_what_is_held_waits_with_its_own_stamp_and_is_handed_over_in_portions() -> None:
    seen: list[tuple[bytes, int]] = []
    with (
        contextlib.closing(UdpLink(HOST, held=True)) as held,
        contextlib.closing(UdpLink(HOST)) as sender,
    ):
        held.listen(lambda data, _, at_ns: seen.append((data, at_ns)))
        for number in range(5):
            sender.send(bytes([number]), held.endpoint)
        sent_ns = own_ns()
        await asyncio.sleep(0.05)
        assert seen == []
        held.read(3)
        assert [data for data, _ in seen] == [b"\0", b"\1", b"\2"]
        held.read(9)
        assert len(seen) == 5
        assert max(at_ns for _, at_ns in seen) <= sent_ns


async def test_what_leaves_is_stamped_by_the_kernel_if_asked_for() -> None:
    with (
        contextlib.closing(UdpLink(HOST, stamp_sends=True)) as stamped,
        contextlib.closing(UdpLink(HOST)) as plain,
    ):
        for _ in range(3):
            before_ns = own_ns()
            assert stamped.send(b"x", plain.endpoint)
            assert stamped.left_ns is not None
            assert before_ns <= stamped.left_ns <= own_ns()
        assert plain.send(b"x", stamped.endpoint)
        assert plain.left_ns is None


async def test_a_stamp_that_came_too_late_does_not_keep_the_loop_busy() -> None:
    reads = 0
    with contextlib.closing(UdpLink(HOST, stamp_sends=True)) as link:

        def counted() -> None:
            nonlocal reads
            reads += 1
            link.read()

        link.listen(lambda *_: None)
        asyncio.get_running_loop().add_reader(link._socket.fileno(), counted)
        link._socket.sendto(b"x", (HOST, free_port(socket.SOCK_DGRAM)))  # its stamp is not fetched
        await asyncio.sleep(0.1)
        assert 1 <= reads < 5
