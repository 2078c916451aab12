"""The calls of one device to the cloud, each at its own interval.

The cloud may be absent, slow or mad: the last session asked for stays in force.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec

from services.cloud_bridge.client import CloudClient, Hint
from services.cloud_bridge.errors import (
    CloudAway,
    CloudError,
    CloudNonsense,
    CloudRefused,
    CloudRejected,
)
from services.cloud_bridge.holding import Holding
from services.cloud_bridge.report import (
    LinkObserved,
    Observed,
    heartbeat_body,
    lan_body,
    status_body,
)
from unisono.bus import Publisher, topics
from unisono.bus.topics import CloudStats, DriftSample, LinkStats
from unisono.config import ConfigError, Flags, Settings, load_flags
from unisono.core.cadence import Call, interval_s, next_wait_s, situation
from unisono.core.commands import AckOutcome, Command
from unisono.core.session import Desired
from unisono.core.units import NS_PER_MS, OwnNs
from unisono.lan.errors import LanError
from unisono.lan.interface import resolve_interface
from unisono.runtime import Clock
from unisono.state import LocalState

T = TypeVar("T")

ACK = "ack"  # the one call that has no interval

_log = logging.getLogger(__name__)
_dice = secrets.SystemRandom()


class Bridge:
    """One device's link to the cloud.

    ``flags`` are those of the process; a session's own are laid over them while it runs.
    ``boot_id`` tells the cloud when the machine, and with it its clock, began anew ("": not said).
    """

    def __init__(
        self,
        settings: Settings,
        flags: Flags,
        *,
        client: CloudClient,
        state: LocalState,
        publisher: Publisher,
        clock: Clock,
        boot_id: str = "",
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._client = client
        self._publisher = publisher
        self._clock = clock
        self._holding = Holding(settings.device_id, state, publisher)
        self._observed = Observed()
        self._link = LinkObserved()
        self._version = version("unisono")
        self._boot_id = boot_id
        self._acked_seq = 0
        self._requests: Counter[str] = Counter()
        self._commands: Counter[str] = Counter()
        self._last_contact: OwnNs | None = None
        self._troubles: dict[Call, str] = {}
        self._wake = {call: asyncio.Event() for call in Call}

    @property
    def desired(self) -> Desired | None:
        """What the cloud last asked; None when nothing is known of it."""
        return self._holding.desired

    async def run(self) -> None:
        """Restore what was asked, then call the cloud until cancelled."""
        await self._holding.restore()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_calling(Call.HEARTBEAT, self._heartbeat))
            tasks.create_task(self._keep_calling(Call.STATUS, self._status))
            tasks.create_task(self._keep_calling(Call.COMMANDS, self._poll))

    async def beat(self) -> None:
        """Once a second: repeat on the bus what holds, and mend the local state."""
        self._publisher.publish(topics.CLOUD, self.stats())
        self._holding.publish()
        await self._holding.mend()

    def hear(self, sample: DriftSample) -> None:
        """A sample of the corrector."""
        self._observed.hear(sample, self._clock.own_ns())

    def hear_link(self, stats: LinkStats) -> None:
        """A report of the beacon process."""
        self._link.hear(stats, self._clock.own_ns())

    def stats(self) -> CloudStats:
        """The counters, for the bus."""
        return CloudStats(
            connected=self._last_contact is not None and not any(self._troubles.values()),
            last_contact_own_ns=self._last_contact,
            requests=dict(self._requests),
            commands=dict(self._commands),
        )

    async def _keep_calling(self, call: Call, once: Callable[[], Awaitable[float | None]]) -> None:
        """One loop: call, wait as the cadence says, call again; or at once when woken."""
        failures = 0
        wake = self._wake[call]
        while True:
            wake.clear()
            asked_s: float | None = None
            refused = False
            try:
                asked_s = await once()
                failures = 0
                self._note(call, "")
            except (CloudError, LanError) as error:
                failures += 1
                refused = isinstance(error, CloudRefused)
                asked_s = error.retry_after_s if isinstance(error, CloudError) else None
                self._note(call, self._sentence(error))
            wait_s = next_wait_s(
                self._interval_s(call),
                jitter=_dice.uniform(-1.0, 1.0),
                failures=failures,
                refused=refused,
                asked_s=asked_s,
            )
            # A cloud in trouble is not called sooner because something woke us.
            await _pause(wait_s, wake if failures == 0 else asyncio.Event())

    def _interval_s(self, call: Call) -> float:
        session = None if self.desired is None else self.desired.session
        flags = self._flags
        if session is not None:
            try:
                flags = load_flags(session.flags, base=flags)
            except ConfigError as error:
                _log.debug("the session's flags are unfit: %s", error)
        base_s = {
            Call.HEARTBEAT: flags.heartbeat_s,
            Call.STATUS: flags.status_s,
            Call.COMMANDS: flags.commands_s,
        }[call]
        mode = self._observed.mode(self._clock.own_ns())
        return interval_s(call, base_s, situation(session is not None, mode))

    async def _heartbeat(self) -> float | None:
        settings = self._settings
        body = heartbeat_body(
            address=resolve_interface(settings.lan_interface),
            beacon_port=settings.beacon_port,
            probe_port=settings.probe_port,
            version=self._version,
            desired=self.desired,
            sample=self._observed.last(self._clock.own_ns()),
            interval_s=self._interval_s(Call.HEARTBEAT),
            boot_id=self._boot_id,
        )
        hint = await self._counted(Call.HEARTBEAT, self._client.heartbeat(body))
        if self.desired is None and not hint.session_id:
            # Nothing is known here and nothing is asked: what others may still play is over.
            await self._holding.adopt(Desired(hint.revision, None))
        elif self._differs(hint):
            self._wake[Call.COMMANDS].set()
        return hint.next_poll_s

    async def _status(self) -> float | None:
        drifts = self._observed.take()
        now_own_ns = self._clock.own_ns()
        sample = self._observed.last(now_own_ns)
        lan = lan_body(self._link, sample, now_own_ns)
        body = status_body(self._settings.device_id, self.desired, sample, drifts, lan)
        try:
            hint = await self._counted(Call.STATUS, self._client.status(body))
        except CloudError:
            self._observed.put_back(drifts)
            raise
        if self._differs(hint):
            self._wake[Call.HEARTBEAT].set()
        return hint.next_poll_s

    async def _poll(self) -> float | None:
        polled = await self._counted(Call.COMMANDS, self._client.commands(self._acked_seq))
        for body in polled.commands:
            await self._carry_out(body)
        return polled.next_poll_s

    async def _carry_out(self, body: dict[str, Any]) -> None:
        """Obey one command and acknowledge it; what is not acknowledged comes again."""
        try:
            command = msgspec.convert(body, Command)
        except msgspec.ValidationError as error:
            self._commands["? failed"] += 1
            _log.warning("a command of the cloud cannot be understood: %s", error)
            if isinstance(command_id := body.get("command_id"), str):
                await self._ack(command_id, AckOutcome.FAILED, f"not understood: {error}")
            return
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        done, first = await self._holding.carry_out(command, wall_ms)
        if first:
            self._commands[f"{command.kind.value} {done.outcome.value}"] += 1
            what = f"{command.kind.value} of session {command.session_id}, term {command.term}"
            detail = f" ({done.detail})" if done.detail else ""
            _log.info("%s: %s%s", what, done.outcome.value, detail)
        await self._ack(command.command_id, done.outcome, done.detail)
        self._acked_seq = max(self._acked_seq, command.seq)

    async def _ack(self, command_id: str, outcome: AckOutcome, detail: str) -> None:
        try:
            await self._counted(ACK, self._client.ack(command_id, outcome, detail))
        except CloudRejected as error:
            _log.debug("the ack of %s is not wanted: %s", command_id, error)

    def _differs(self, hint: Hint) -> bool:
        """Whether the cloud wants other than what is held here."""
        session = None if self.desired is None else self.desired.session
        if session is None or self.desired is None:
            return bool(hint.session_id)
        if hint.session_id != session.session_id:
            return True
        return hint.term > session.term or hint.revision > self.desired.revision

    async def _counted(self, call: str, pending: Awaitable[T]) -> T:
        """The reply, counted by call and outcome."""
        try:
            reply = await pending
        except CloudError as error:
            self._requests[f"{call} {error.label}"] += 1
            raise
        self._requests[f"{call} 200"] += 1
        self._last_contact = self._clock.own_ns()
        return reply

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, CloudRefused):
            return (
                f"{error}; enrol {self._settings.device_id} anew and set UNISONO_DEVICE_SECRET; "
                "what it plays goes on"
            )
        if isinstance(error, CloudAway | CloudNonsense):
            return f"{error}; what this device plays goes on"
        return str(error)

    def _note(self, call: Call, trouble: str) -> None:
        """One line in the log when the link to the cloud changes, not one per call."""
        before = {sentence for sentence in self._troubles.values() if sentence}
        self._troubles[call] = trouble
        if trouble and trouble not in before:
            _log.warning("%s", trouble)
        elif before and not any(self._troubles.values()):
            _log.info("the cloud answers again")


async def _pause(wait_s: float, wake: asyncio.Event) -> None:
    """Wait that long, or until woken."""
    try:
        async with asyncio.timeout(wait_s):
            await wake.wait()
    except TimeoutError:
        pass
