"""A follower's questions for the master's clock: how often, by which way, and to which address."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from services.beacon.counters import Counters
from services.beacon.pace import Route, probe_wait_s
from services.beacon.ways import Ways
from unisono.core.clockmap import ClockMap
from unisono.core.samples import ProbeSample
from unisono.core.units import ns_to_s
from unisono.lan.datagrams import DatagramLink
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.paths import Endpoint
from unisono.lan.probes import ProbeClient
from unisono.runtime import Clock
from unisono.wire import KeyRing, Refused

# So many probes without an answer, and the address that beacons come from is asked, or again the
# one that the session tells; whichever answers is kept.
MOVED_AFTER: Final = 2

_log = logging.getLogger("unisono.beacon")
_dice = secrets.SystemRandom()


class Asker:
    """Probes whoever leads; opened once, closed once.

    ``where``: each member's probe endpoint as the session tells it. ``clock_map`` is what is
    known of the master's clock now: the better it is, the less is asked.
    """

    def __init__(
        self,
        ways: Ways,
        keys: KeyRing,
        device_id: str,
        *,
        where: Mapping[str, Endpoint],
        counters: Counters,
        clock: Clock,
        on_sample: Callable[[ProbeSample], None],
        clock_map: Callable[[], ClockMap | None],
    ) -> None:
        self._ways = ways
        self._keys = keys
        self._device_id = device_id
        self._where = where
        self._counters = counters
        self._clock = clock
        self._on_sample = on_sample
        self._clock_map = clock_map
        self._datagrams: ProbeClient | None = None
        self._stream: ProbeClient | None = None
        self._leader, self._term = "", 0
        self._heard_from = ""
        self._elsewhere = False  # asking where beacons come from, not where the session says
        self._route = Route()
        self._met_ns = clock.own_ns()
        self._answered = self._unanswered = 0

    def open(self) -> None:
        """Take a port, or wait for `renew` while the LAN is away; may raise `LanError`."""
        try:
            datagrams, stream = self._ways.probe_askers()
        except InterfaceUnknown as error:  # it has no address at present; the next change tells
            _log.warning("%s", error)
            return
        self.close()
        self._datagrams = self._client(datagrams, stream=False)
        self._stream = self._client(stream, stream=True)

    def renew(self) -> None:
        """The LAN has changed: ask from the address that this device has now."""
        try:
            self.open()
        except LanError as error:
            _log.warning("%s", error)
        self._route = Route()

    def close(self) -> None:
        """Ask no more."""
        for client in (self._datagrams, self._stream):
            if client is not None:
                client.close()
        self._datagrams = self._stream = None

    def follow(self, device_id: str, term: int) -> None:
        """Ask this member from now on."""
        if device_id != self._leader:
            self._heard_from, self._elsewhere = "", False
            self._route = Route()
        self._leader, self._term = device_id, term

    def begin(self) -> None:
        """The clock that is asked for is another one: hurry."""
        self._met_ns = self._clock.own_ns()
        self._answered = self._unanswered = 0

    def heard_from(self, address: str) -> None:
        """Where the master's beacons come from: worth a question if it moved."""
        self._heard_from = address

    async def run(self) -> None:
        """Ask until cancelled, often at first."""
        while True:
            self._ask()
            clock_map = self._clock_map()
            wait_s = probe_wait_s(
                joined_for_s=ns_to_s(self._clock.own_ns() - self._met_ns),
                bound_ns=clock_map.bound_ns if clock_map is not None else None,
                answered=self._answered,
                unanswered=self._unanswered,
                dice=_dice.random(),
            )
            await asyncio.sleep(wait_s)

    def _ask(self) -> None:
        where = self._where.get(self._leader)
        if where is None:
            return
        moved = self._heard_from not in ("", where.address)
        if self._unanswered and self._unanswered % MOVED_AFTER == 0:
            self._elsewhere = moved and not self._elsewhere
        if moved and self._elsewhere:
            where = Endpoint(self._heard_from, where.port)
        route = self._route
        asked = False
        for client, due in ((self._datagrams, route.by_datagram), (self._stream, route.by_stream)):
            if due and client is not None:
                asked |= client.ask(where, self._leader, self._term)
        self._counters.probes_sent += asked
        self._route = route.after_asking()
        self._unanswered += 1

    def _client(self, link: DatagramLink, *, stream: bool) -> ProbeClient:
        return ProbeClient(
            link,
            self._keys,
            device_id=self._device_id,
            on_sample=partial(self._take, stream=stream),
            on_refused=self._refuse,
        )

    def _take(self, sample: ProbeSample, *, stream: bool) -> None:
        self._counters.probes_answered += 1
        self._answered += 1
        self._unanswered = 0
        if not stream:
            self._route = self._route.after_datagram_answered()
        self._on_sample(sample)

    def _refuse(self, refused: Refused, sender: Endpoint) -> None:
        self._counters.refuse(refused, f"probe reply of {sender}")
