"""Beacons as plain datagrams to those followers that asked for them: multicast's understudy.

A follower asks with a signed message, LISTEN, and is sent every beacon for as long as its lease
lasts. It asks again each second, so that a master that was started anew, or has just begun to
lead, finds it by itself.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from unisono.clock import own_ns
from unisono.core.units import OwnNs, ns_to_s
from unisono.lan.datagrams import FrameReader, UdpLink, bind, open_socket
from unisono.lan.interface import ANY_ADDRESS
from unisono.lan.leases import Leases
from unisono.lan.mending import Upkeep, resolve
from unisono.lan.paths import UNICAST, Batch, Deliver, Endpoint, WhereToListen
from unisono.wire.keys import KeyRing
from unisono.wire.listen import ListenRequest, encode_listen
from unisono.wire.probe import party_tag
from unisono.wire.refusal import Refused

LEASE_MS: Final = 3_000  # two requests may be lost
ASK_EVERY_S: Final = 1.0
# Until the first beacon comes: a request that was lost must not cost a second.
ASK_SOON_S: Final = (0.05, 0.1, 0.2)
SILENCE_S: Final = 1.0  # without a beat; the leader may be another by now
# The last word is said twice, so far apart that one burst of noise does not take both.
GOODBYE_AGAIN_S: Final = 0.05

OnRefused = Callable[[Refused, Endpoint], None]


class UnicastPublisher:
    """Sends to every member of the session that holds a lease."""

    path = UNICAST

    def __init__(
        self,
        listen: WhereToListen,
        keys: KeyRing,
        *,
        term: int,
        members: Collection[str],
        on_refused: OnRefused,
    ) -> None:
        self._where = listen
        self._leases = Leases(keys, term=term, members=members)
        self._on_refused = on_refused
        self._link: UdpLink | None = None
        self._bound: Endpoint | None = None
        self._upkeep = Upkeep(UNICAST, self._set_up, sends=True)

    @property
    def restarts(self) -> int:
        """How often the port was bound later, after a failure."""
        return self._upkeep.restarts

    @property
    def listeners(self) -> Sequence[Endpoint]:
        """Who holds a lease now."""
        return self._leases.holders(own_ns())

    async def open(self) -> None:
        """Bind, or once there is an address; `AddressInUse` or `LanError` when it cannot."""
        self._upkeep.open()

    def send(self, frame: bytes) -> bool:
        """One datagram for each lease; True as well when nobody asked."""
        if self._link is None and not self._upkeep.mend_if_due():
            return False
        assert self._link is not None  # noqa: S101 - just mended
        taken = True
        for listener in self.listeners:
            taken = self._link.send(frame, listener) and taken
        if taken:
            self._upkeep.works()
        return taken

    def renew(self) -> None:
        """Bind again if the address has changed; leases go on."""
        self._upkeep.renew()

    async def close(self) -> None:
        """Release the port."""
        self._upkeep.close()
        self._drop()

    def _set_up(self) -> None:
        where = resolve(self._where)
        if where == self._bound:
            return
        self._drop()
        self._link = UdpLink(where.address, where.port, setting="UNISONO_BEACON_PORT")
        self._link.listen(self._take)
        self._bound = where

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = self._bound = None

    def _take(self, data: bytes, asker: Endpoint, received_ns: OwnNs) -> None:
        try:
            self._leases.take(data, asker, received_ns)
        except Refused as refused:
            self._on_refused(refused, asker)


class UnicastSubscriber:
    """Asks the leader for as long as beacons are wanted; the others as well after ``silence_s``
    without a beat that is the master's.

    ``clock_id`` names this device's monotonic clock; ``address`` says where to ask from. Whoever
    answers is heard: the signature of the beacon decides.
    """

    path = UNICAST
    on_demand = True

    def __init__(
        self,
        device_id: str,
        keys: KeyRing,
        *,
        clock_id: bytes,
        leader: Endpoint | None,
        term: int,
        standby: Sequence[Endpoint] = (),
        address: Callable[[], str] = lambda: ANY_ADDRESS,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._tag = party_tag(device_id)
        self._keys = keys
        self._clock_id = clock_id
        self._leader = leader
        self._term = term
        self._others = tuple(standby)
        self._address = address
        self._silence_s = silence_s
        self._deliver: Deliver | None = None
        self._reader: FrameReader | None = None
        self._wanted = False
        self._timer: asyncio.TimerHandle | None = None
        self._asks = 0  # since it was wanted, or since another leader
        self._since_ns = own_ns()  # wanted, or heard
        self._heard = False
        self._upkeep = Upkeep(UNICAST, self._open_port)

    @property
    def restarts(self) -> int:
        """How often the port was opened later, for want of an address."""
        return self._upkeep.restarts

    async def open(self, deliver: Deliver) -> None:
        """Open a port of its own, or once there is an address; `LanError` when it never can.

        Nothing is asked yet.
        """
        self._upkeep.open()
        self._deliver = deliver

    def want(self, wanted: bool) -> None:
        """Ask from now on, or say goodbye and be silent."""
        if wanted == self._wanted or self._deliver is None:
            return
        self._wanted = wanted
        if wanted:
            self._begin()
        else:
            self._say_goodbye()
            self._set_timer(GOODBYE_AGAIN_S, self._say_goodbye)

    def verified(self) -> None:
        """Whoever leads has been found."""
        self._heard, self._since_ns = True, own_ns()

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Ask another leader; the lease of the last one ends by itself."""
        if (leader, term) == (self._leader, self._term):
            return
        if self._leader is not None:
            self._others = (*self._others, self._leader)
        self._others = tuple(other for other in dict.fromkeys(self._others) if other != leader)
        self._leader, self._term = leader, term
        if self._wanted:
            self._begin()

    def renew(self) -> None:
        """Ask from a new port, at once; where there is none, from the one in use."""
        self._upkeep.renew()
        if self._wanted:
            self._begin()

    async def close(self) -> None:
        """Say goodbye and close."""
        if self._wanted:
            self._say_goodbye()
        self._upkeep.close()
        self._wanted, self._deliver = False, None
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_port(self) -> None:
        address = resolve(self._address)
        made = open_socket()
        bind(made, address, 0, setting="")
        if self._reader is not None:
            self._reader.close()
        self._reader = FrameReader(made, UNICAST, self._take)

    def _begin(self) -> None:
        self._asks, self._since_ns, self._heard = 0, own_ns(), False
        self._ask()

    def _ask(self) -> None:
        if self._reader is None:
            self._upkeep.mend_if_due()
        self._say(LEASE_MS)
        soon = not self._heard and self._asks < len(ASK_SOON_S)
        wait_s = ASK_SOON_S[self._asks] if soon else ASK_EVERY_S
        self._asks += 1
        self._set_timer(wait_s, self._ask)

    def _say_goodbye(self) -> None:
        self._say(0)

    def _say(self, lease_ms: int) -> None:
        """To the leader; after a silence, to the others too, one of whom may lead by now."""
        if self._leader is not None:
            self._send(self._term, lease_ms, (self._leader,))
        silent_s = ns_to_s(own_ns() - self._since_ns)
        if self._leader is None or silent_s >= self._silence_s:
            # They do not lead this term, so it must be the next one that they lead.
            self._send(self._term + 1, lease_ms, self._others)

    def _send(self, term: int, lease_ms: int, to: Sequence[Endpoint]) -> None:
        if self._reader is None:
            return
        request = ListenRequest(term, self._tag, self._clock_id, own_ns(), lease_ms)
        try:
            data = encode_listen(request, self._keys)
        except Refused:  # the session has gone on to a later term
            return
        for endpoint in to:
            self._reader.send(data, endpoint)

    def _set_timer(self, wait_s: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, then)

    def _take(self, batch: Batch) -> None:
        if self._deliver is not None:
            self._deliver(batch)
