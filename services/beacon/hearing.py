"""A follower's ear: all paths of the beacons, those on demand asked for when they are needed."""

import asyncio
from collections.abc import Sequence

from unisono.core.standby import Standby
from unisono.core.units import NS_PER_S, OwnNs
from unisono.lan.paths import BeaconSubscriber, Deliver, Endpoint
from unisono.runtime import Clock


class Ear:
    """Listens on ``subscribers``, cheapest first; opened once, closed once."""

    def __init__(
        self, subscribers: Sequence[BeaconSubscriber], *, rate_hz: float, clock: Clock
    ) -> None:
        self._subscribers = tuple(subscribers)
        self._by_path = {s.path: s for s in self._subscribers}
        self._clock = clock
        paths = [(s.path, s.on_demand) for s in self._subscribers]
        self._standby = Standby(paths, round(NS_PER_S / rate_hz))
        self._wanted: frozenset[str] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def copies(self) -> dict[str, int]:
        """Verified copies by path."""
        return self._standby.copies

    @property
    def lost(self) -> dict[str, int]:
        """Numbers passed over by path."""
        return self._standby.lost

    @property
    def restarts(self) -> dict[str, int]:
        """How often each path had to be set up again by itself."""
        return {s.path: s.restarts for s in self._subscribers}

    async def open(self, deliver: Deliver) -> None:
        """Listen; may raise `LanError`."""
        for subscriber in self._subscribers:
            await subscriber.open(deliver)
        self.reconsider()

    async def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        for subscriber in self._subscribers:
            await subscriber.close()

    def follow(self, leader: Endpoint | None, term: int) -> None:
        """Another device leads now."""
        for subscriber in self._subscribers:
            subscriber.follow(leader, term)
        self._standby.begin()
        self.reconsider()

    def renew(self) -> None:
        """The LAN has changed: set every path up again."""
        for subscriber in self._subscribers:
            subscriber.renew()

    def heard(self, path: str, seq: int, at_ns: OwnNs) -> bool:
        """A verified copy has come; whether it is the newest that this path brought."""
        newest = self._standby.heard(path, seq, at_ns)
        if newest:
            self._by_path[path].verified()
        return newest

    def reconsider(self) -> None:
        """After what was heard: ask for paths, or leave them alone; and look again in time."""
        now_ns = self._clock.own_ns()
        again_ns = self._standby.look(now_ns)
        if (wanted := self._standby.wanted) != self._wanted:
            for subscriber in self._subscribers:
                if subscriber.on_demand:
                    subscriber.want(subscriber.path in wanted)
            self._wanted = wanted
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again_ns is not None:
            # Reading comes before timers in a turn of the loop: a beacon that waits is seen first.
            wait_s = max(0, again_ns - now_ns) / NS_PER_S
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.reconsider)
