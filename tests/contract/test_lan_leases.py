"""Leases: who is sent beacons as datagrams, for how long, and who is refused."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from tests.support.beacon_process import free_port
from tests.support.lan_kinds import HOST, TERM, listening, publishing, ring, unicast_subscriber
from tests.support.waiting import until
from unisono.core.units import OwnNs
from unisono.lan.datagrams import UdpLink
from unisono.lan.paths import Endpoint
from unisono.lan.unicast import UnicastPublisher
from unisono.wire import KeyRing, party_tag
from unisono.wire.listen import ListenRequest, encode_listen

CLOCK, OTHER_CLOCK, THIRD_CLOCK = b"clock--1", b"clock--2", b"clock--3"


@dataclass
class Master:
    """A publisher by lease, and one hand-made follower beside it."""

    publisher: UnicastPublisher
    endpoint: Endpoint
    refused: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    link: UdpLink = field(default_factory=lambda: UdpLink(HOST))

    def listen(
        self,
        at_ns: int,
        *,
        lease_ms: int = 3000,
        who: str = "follower-1",
        clock_id: bytes = CLOCK,
        keys: KeyRing | None = None,
        term: int = TERM,
    ) -> bytes:
        """One LISTEN; its bytes."""
        request = ListenRequest(term, party_tag(who), clock_id, OwnNs(at_ns), lease_ms)
        data = encode_listen(request, keys or ring())
        self.link.send(data, self.endpoint)
        return data


@pytest.fixture
async def master() -> AsyncIterator[Master]:
    endpoint = Endpoint(HOST, free_port(socket.SOCK_DGRAM))
    refused: list[str] = []
    publisher = UnicastPublisher(
        lambda: endpoint,
        ring(),
        term=TERM,
        members=["leader", "follower-1", "follower-2"],
        on_refused=lambda why, _: refused.append(why.reason.value),
    )
    made = Master(publisher, endpoint, refused)
    made.link.listen(lambda data, *_: made.heard.append(data))
    async with publishing(publisher):
        yield made
    made.link.close()


async def test_a_lease_is_given_prolonged_and_ended(master: Master) -> None:
    assert master.publisher.send(b"to nobody")
    master.listen(1)
    await until(lambda: len(master.publisher.listeners) == 1)
    master.publisher.send(b"to one")
    await until(lambda: master.heard == [b"to one"])
    master.listen(2, lease_ms=0)
    await until(lambda: len(master.publisher.listeners) == 0)
    assert master.publisher.send(b"to nobody")
    master.listen(3, lease_ms=50)
    await until(lambda: len(master.publisher.listeners) == 1)
    await until(lambda: len(master.publisher.listeners) == 0)  # by itself
    master.listen(4)
    master.listen(5, who="follower-2")
    await until(lambda: len(master.publisher.listeners) == 2)
    assert master.refused == []


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda m: m.listen(1, who="stranger"), "foreign_session"),
        (lambda m: m.listen(1, keys=ring(session="another")), "foreign_session"),
        (lambda m: m.listen(1, keys=KeyRing(b"guessed" * 3, "session", TERM)), "unknown_key"),
        (lambda m: m.listen(1, keys=ring(TERM - 1), term=TERM - 1), "old_term"),
        (lambda m: m.listen(1, term=TERM + 1), "wrong_master"),
        (lambda m: m.link.send(b"", m.endpoint), "size"),
        (lambda m: m.link.send(bytes(80), m.endpoint), "malformed"),
    ],
)
async def test_who_may_not_ask_is_refused(
    master: Master, ask: Callable[[Master], object], reason: str
) -> None:
    ask(master)
    await until(lambda: master.refused == [reason])
    assert len(master.publisher.listeners) == 0


async def test_what_was_said_before_counts_no_more(master: Master) -> None:
    async def refused(data: bytes) -> None:
        before = len(master.refused)
        master.link.send(data, master.endpoint)
        await until(lambda: len(master.refused) == before + 1)

    first = master.listen(1_000)
    master.listen(2_000, lease_ms=0)
    await until(lambda: len(master.publisher.listeners) == 0)
    await refused(first)
    # The device is started again: its clock begins anew, and the former one is past.
    again = master.listen(5, clock_id=OTHER_CLOCK)
    await until(lambda: len(master.publisher.listeners) == 1)
    master.listen(6, clock_id=OTHER_CLOCK, lease_ms=0)
    await until(lambda: len(master.publisher.listeners) == 0)
    late = master.listen(9_000, clock_id=THIRD_CLOCK, lease_ms=0)
    for data in (first, again, late):
        await refused(data)
    master.listen(99_000, clock_id=CLOCK)
    await until(lambda: len(master.refused) == 5)
    assert set(master.refused) == {"late"}
    assert len(master.publisher.listeners) == 0


async def test_a_lost_request_costs_no_second() -> None:
    with contextlib.closing(UdpLink(HOST)) as leader:
        asked: list[bytes] = []
        leader.listen(lambda data, *_: asked.append(data))
        subscriber = unicast_subscriber(leader.endpoint)
        async with listening(subscriber):
            await until(lambda: len(asked) == 4, limit_s=0.9)
            subscriber.want(False)
            await until(lambda: len(asked) == 6)
        assert len(set(asked)) == 6  # none can be taken for a repeated one
