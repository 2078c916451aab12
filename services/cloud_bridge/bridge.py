"""The calls of one device to the cloud: what each says, and what becomes of its answer.

The cloud may be absent, slow or mad: the last session asked for stays in force.
"""

import asyncio
from functools import partial
from importlib.metadata import version

from services.cloud_bridge.client import CloudClient, Hint
from services.cloud_bridge.errors import CloudError, CloudRejected
from services.cloud_bridge.holding import Holding
from services.cloud_bridge.identity import Identity
from services.cloud_bridge.line import CloudLine
from services.cloud_bridge.machine import look
from services.cloud_bridge.orders import Orders
from services.cloud_bridge.report import (
    LinkObserved,
    Observed,
    heartbeat_body,
    lan_body,
    status_body,
)
from services.cloud_bridge.rotation import Rotation
from services.cloud_bridge.standing import Standing
from services.cloud_bridge.telling import Telling
from unisono.bus import Publisher, topics
from unisono.bus.topics import CloudStats, DriftSample, LinkStats
from unisono.config import Flags, Settings
from unisono.core.cadence import Call, interval_s, situation
from unisono.core.mode import Mode
from unisono.core.outbox import Outbox
from unisono.core.session import Desired, SessionSpec
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.runtime import Clock
from unisono.state import LocalState

# A mode that changes more often than this is told of with the ordinary status.
TELL_EVERY_NS = NS_PER_S
# What a control plane answers to a body that it will never take, however often it comes.
_NEVER = ("413", "422")


class Bridge:
    """One device's link to the cloud.

    ``flags`` are those of the process; the site's and a session's own are laid over them.
    ``boot_id`` tells the cloud when the machine, and with it its clock, began anew ("": not said).
    What this device has to tell waits in ``outbox``.
    """

    def __init__(
        self,
        settings: Settings,
        flags: Flags,
        *,
        identity: Identity,
        client: CloudClient,
        state: LocalState,
        publisher: Publisher,
        clock: Clock,
        outbox: Outbox,
        boot_id: str = "",
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._client = client
        self._publisher = publisher
        self._clock = clock
        self._holding = Holding(settings.device_id, state, publisher)
        self._standing = Standing(settings.device_id, flags)
        self._line = CloudLine(identity, clock)
        self._orders = Orders(
            settings.device_id,
            identity.command_key,
            holding=self._holding,
            line=self._line,
            client=client,
            clock=clock,
        )
        self._rotation = Rotation(identity, client, self._line, state)
        self._observed = Observed()
        self._link = LinkObserved()
        self._telling = Telling(outbox)
        self._version = version("unisono")
        self._boot_id = boot_id
        self._beat_was_lost = False
        self._told_own_ns: OwnNs | None = None

    @property
    def desired(self) -> Desired | None:
        """What the cloud last asked; None when nothing is known of it."""
        return self._holding.desired

    async def run(self) -> None:
        """Restore what was asked, then call the cloud until cancelled."""
        await self._holding.restore()
        await self._rotation.restore()
        keep_calling = partial(self._line.keep_calling, interval_s=self._interval_s)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_calling(Call.HEARTBEAT, self._heartbeat))
            tasks.create_task(keep_calling(Call.STATUS, self._status))
            tasks.create_task(keep_calling(Call.COMMANDS, self._poll))

    async def beat(self) -> None:
        """Once a second: repeat on the bus what holds, and mend the local state."""
        self._publisher.publish(topics.CLOUD, self.stats())
        self._holding.publish()
        await self._holding.mend()
        await self._rotation.restore()
        self._note_beat()

    def hear(self, sample: DriftSample) -> None:
        """A sample of the corrector."""
        now_own_ns = self._clock.own_ns()
        before = self._observed.mode(now_own_ns)
        self._observed.hear(sample, now_own_ns)
        self._telling.hear(sample, now_own_ns, self._wall_ms())
        if sample.mode is not before and Mode.LAN in {sample.mode, before}:
            self._tell_now()

    def hear_link(self, stats: LinkStats) -> None:
        """A report of the beacon process."""
        self._link.hear(stats, self._clock.own_ns())

    def stats(self) -> CloudStats:
        """The counters, for the bus."""
        return CloudStats(
            connected=self._line.connected,
            last_contact_own_ns=self._line.last_contact,
            requests=dict(self._line.requests),
            commands=dict(self._orders.counts),
        )

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS

    def _note_beat(self) -> None:
        """Tell the cloud when the master's beat is lost, or back, without a change of mode."""
        lost = self._beat_lost()
        if lost is not self._beat_was_lost:
            self._beat_was_lost = lost
            self._tell_now()

    def _tell_now(self) -> None:
        """Send a status at once: the cloud decides by it who leads."""
        now_own_ns = self._clock.own_ns()
        if self._told_own_ns is None or now_own_ns - self._told_own_ns >= TELL_EVERY_NS:
            self._told_own_ns = now_own_ns
            self._line.wake(Call.STATUS)

    def _beat_lost(self) -> bool:
        now_own_ns = self._clock.own_ns()
        mode = self._observed.mode(now_own_ns)
        return self._stand().beat_lost(mode, now_own_ns)

    def _stand(self) -> Standing:
        """Where the device stands now, by what it holds."""
        self._standing.take(self._session(), self._clock.own_ns())
        return self._standing

    def _session(self) -> SessionSpec | None:
        return None if self.desired is None else self.desired.session

    def _interval_s(self, call: Call) -> float:
        flags = self._stand().flags
        base_s = {
            Call.HEARTBEAT: flags.heartbeat_s,
            Call.STATUS: flags.status_s,
            Call.COMMANDS: flags.commands_s,
        }[call]
        mode = self._observed.mode(self._clock.own_ns())
        return interval_s(call, base_s, situation(self._session() is not None, mode))

    async def _heartbeat(self) -> float | None:
        body = heartbeat_body(
            look(self._settings.lan_interface),
            self._settings,
            self.desired,
            self._observed.last(self._clock.own_ns()),
            version=self._version,
            beat_lost=self._beat_lost(),
            interval_s=self._interval_s(Call.HEARTBEAT),
            boot_id=self._boot_id,
            flags_version=self._stand().flags_version,
        )
        hint = await self._line.ask(Call.HEARTBEAT, partial(self._client.heartbeat, body))
        self._note(hint)
        if self.desired is None and not hint.session_id:
            # Nothing is known here and nothing is asked: what others may still play is over.
            # No revision is taken from a hint: nobody has signed it.
            await self._holding.adopt(Desired(0, None))
        elif self._differs(hint):
            self._line.wake(Call.COMMANDS)
        if hint.rotate:
            await self._rotation.rotate()
        return hint.next_poll_s

    async def _status(self) -> float | None:
        drifts = self._observed.take()
        now_own_ns = self._clock.own_ns()
        sample = self._observed.last(now_own_ns)
        telemetry = self._telling.body()
        body = status_body(
            self._settings.device_id,
            self.desired,
            sample,
            drifts,
            lan=lan_body(self._link, sample, now_own_ns),
            beat_lost=self._beat_lost(),
            telemetry=telemetry,
        )
        try:
            hint = await self._line.ask(Call.STATUS, partial(self._client.status, body))
        except CloudError as error:
            self._observed.put_back(drifts)
            if isinstance(error, CloudRejected) and error.label in _NEVER:
                self._telling.rejected(telemetry)
            raise
        self._note(hint)
        if hint.delivered_seq is not None:
            self._telling.delivered(hint.delivered_seq, self._wall_ms())
        if self._differs(hint) or hint.rotate:
            self._line.wake(Call.HEARTBEAT)
        return hint.next_poll_s

    async def _poll(self) -> float | None:
        # Not what was acknowledged: a command that was refused may be given out again.
        after = 0 if self.desired is None else self.desired.revision
        polled = await self._line.ask(Call.COMMANDS, partial(self._client.commands, after))
        self._line.note_server_time(polled.server_time_ms)
        for body in polled.commands:
            await self._orders.obey(body)
        return polled.next_poll_s

    def _note(self, hint: Hint) -> None:
        self._line.note_server_time(hint.server_time_ms)
        self._stand().hear_flags(hint.flags_version, hint.flags)

    def _differs(self, hint: Hint) -> bool:
        """Whether the cloud wants other than what is held here."""
        session = self._session()
        if session is None or self.desired is None:
            return bool(hint.session_id)
        if hint.session_id != session.session_id:
            return True
        return hint.term > session.term or hint.revision > self.desired.revision
