"""The process as a whole: what the cloud asks becomes a role, and its news go on the bus."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from services.beacon.counters import Counters
from services.beacon.follower import Follower, Leader
from services.beacon.master import Master
from services.beacon.origin import View
from services.beacon.parts import Job, Parts, PathTallies
from unisono.bus import Publisher, Subscriber, topics
from unisono.bus.topics import LinkStats, Timing
from unisono.config import ConfigError, Flags, load_flags
from unisono.core.session import Desired, Role, SessionSpec
from unisono.lan.interface import InterfaceWatch
from unisono.runtime import repeat
from unisono.wire.beacon import MAX_ID_BYTES
from unisono.wire.keys import MAX_TERM, MIN_SECRET_BYTES

TIMING_PERIOD_S: Final = topics.TIMING.repeat_s
LINK_PERIOD_S: Final = topics.LINK.repeat_s

_log = logging.getLogger("unisono.beacon")


class Node:
    """One device's beacon process."""

    def __init__(self, parts: Parts, publisher: Publisher, subscriber: Subscriber) -> None:
        self._parts = parts
        self._publisher = publisher
        self._subscriber = subscriber
        self._counters = Counters()
        self._tallies = PathTallies()  # of the roles that are over
        self._desired: Desired | None = None
        self._part: Master | Follower | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Play the part that the cloud asks for, until cancelled; may raise `LanError`."""
        watch = InterfaceWatch(self._parts.settings.lan_interface, self._renew)
        watch.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._listen())
                tasks.create_task(repeat(TIMING_PERIOD_S, self._publish_timing))
                tasks.create_task(repeat(LINK_PERIOD_S, self._publish_link))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            watch.close()
            await self._leave(ended=False)

    async def obey(self, desired: Desired) -> None:
        """Take over what the cloud asks, if it is newer than what is known."""
        known = self._desired
        if known is not None and desired.revision <= known.revision:
            return
        old_spec = known.session if known is not None else None
        self._desired = desired
        spec = desired.session
        if spec == old_spec:
            return
        same_session = spec is not None and old_spec is not None and _same(spec, old_spec)
        view = self._part.view() if self._part is not None and same_session else None
        leader = self._leader(spec) if same_session else None
        await self._leave(ended=not same_session)
        if spec is not None:
            await self._enter(spec, leader or Leader(spec.term, spec.master_device_id), view)
        self._publisher.publish(topics.TIMING, self.timing())

    def timing(self) -> Timing:
        """What the LAN says of time now."""
        if self._part is not None:
            return self._part.timing()
        spec = self._desired.session if self._desired is not None else None
        role = self._role(spec)
        if spec is None:
            return Timing("", 0, role, None, None, None, None, "")
        return Timing(spec.session_id, spec.term, role, None, None, None, None, "")

    def link(self) -> LinkStats:
        """What was counted so far."""
        counters, part = self._counters, self._part
        timing = self.timing()
        follower = part if isinstance(part, Follower) else None
        tallies = self._tallies + (part.tallies() if part is not None else PathTallies())
        clock_map = follower.clock_map() if follower is not None else timing.clock_map
        return LinkStats(
            session_id=timing.session_id,
            term=timing.term,
            role=timing.role,
            sent=counters.sent,
            unsent=counters.unsent,
            received=counters.received,
            lost=counters.lost,
            refused=dict(counters.refused),
            path=follower.path if follower is not None else "",
            received_by_path=dict(counters.received_by_path),
            copies_by_path=dict(tallies.copies),
            lost_by_path=dict(tallies.lost),
            restarts_by_path=dict(tallies.restarts),
            probes_sent=counters.probes_sent,
            probes_answered=counters.probes_answered,
            rtt_ns=follower.min_rtt_ns if follower is not None else None,
            offset_ns=clock_map.offset_ns if clock_map is not None else None,
            skew_ppb=clock_map.skew_ppb if clock_map is not None else None,
            bound_ns=clock_map.bound_ns if clock_map is not None else None,
            beat_late_ns=part.beat_late_ns if isinstance(part, Master) else None,
        )

    def _role(self, spec: SessionSpec | None) -> Role:
        return spec.role_of(self._parts.settings.device_id) if spec is not None else Role.IDLE

    def _leader(self, spec: SessionSpec | None) -> Leader | None:
        """A leader heard of on the LAN, of a later term than the cloud has told us of."""
        if spec is None or not isinstance(self._part, Follower) or self._part.term <= spec.term:
            return None
        return self._part.leader

    def _flags(self, spec: SessionSpec) -> Flags:
        try:
            return load_flags(spec.flags, base=self._parts.flags)
        except ConfigError as error:
            _log.error("the site's flags cannot be used: %s; keeping this device's own", error)
            return self._parts.flags

    async def _enter(self, spec: SessionSpec, leader: Leader, view: View | None) -> None:
        """Open the part that ``spec`` gives this device, if the LAN may be used."""
        parts, flags = self._parts, self._flags(spec)
        device_id = parts.settings.device_id
        role = self._role(spec)
        if (fault := unfit(spec)) is not None:
            _log.error("session %s cannot be used: %s; create it again", spec.session_id, fault)
            return
        if not flags.lan_enabled or role is Role.IDLE:
            _log.info("%s, term %d: nothing to do on the LAN", spec.session_id, spec.term)
            return
        job = Job(
            spec,
            device_id,
            flags=flags,
            ways=parts.ways,
            memory=parts.memory,
            clock=parts.clock,
            counters=self._counters,
            spawn=self._spawn,
            on_change=self._tell,
        )
        if role is Role.MASTER and leader.device_id == device_id:
            self._part = Master(job, view=view)
        else:
            self._part = Follower(job, leader=leader, view=view)
        await self._part.open()

    async def _leave(self, *, ended: bool) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            self._tallies += part.tallies()  # first: counters that are told must never fall
            await part.close(ended=ended)

    def _renew(self) -> None:
        """The LAN interface has another address, or is another one, or is up again."""
        _log.info("the LAN interface has changed: setting the paths up again")
        if self._part is not None:
            self._part.renew()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the rest; should it fail, so does the process."""
        assert self._tasks is not None  # noqa: S101 - running
        return self._tasks.create_task(work)

    def _tell(self) -> None:
        """Something changed: the others need not wait for the next regular word."""
        self._publisher.publish(topics.TIMING, self.timing())

    async def _listen(self) -> None:
        if (kept := await self._parts.memory.desired()) is not None:
            await self.obey(kept)
        while True:
            for message in (await self._subscriber.newest()).values():
                await self.obey(message)

    async def _publish_timing(self) -> None:
        self._publisher.publish(topics.TIMING, self.timing())

    async def _publish_link(self) -> None:
        self._publisher.publish(topics.LINK, self.link())


def _same(spec: SessionSpec, other: SessionSpec) -> bool:
    """Whether two specs belong to one run of one timeline."""
    return (spec.session_id, spec.playlist) == (other.session_id, other.playlist)


def unfit(spec: SessionSpec) -> str | None:
    """Why no beacon can be made for ``spec``, in a few words; None when it is fit."""
    try:
        secret = bytes.fromhex(spec.secret_hex)
    except ValueError:
        return "its secret is not hexadecimal"
    if len(secret) < MIN_SECRET_BYTES:
        return f"its secret is shorter than {MIN_SECRET_BYTES} bytes"
    if spec.playlist.length_ns <= 0:
        return "its playlist has no length"
    ids = (spec.session_id, spec.master_device_id)
    if not all(0 < len(name.encode()) <= MAX_ID_BYTES for name in ids):
        return f"its id and its master's must have 1 to {MAX_ID_BYTES} bytes"
    return None if 0 <= spec.term <= MAX_TERM else "its term is out of range"
