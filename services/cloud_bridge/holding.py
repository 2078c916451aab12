"""What the cloud last asked of this device: held in memory, kept in the local state, on the bus.

Memory comes first: the bus is told at once, the local state as soon as it can take it.
"""

import logging

from unisono.bus import Publisher, topics
from unisono.core.commands import AckOutcome, CarriedOut, Command, carry_out
from unisono.core.session import Desired
from unisono.state import LocalState, Outcome, StateError
from unisono.state.local import OUTCOMES_LIMIT

_log = logging.getLogger(__name__)


class Holding:
    """The desired session of one device, and the commands that led to it."""

    def __init__(self, device_id: str, state: LocalState, publisher: Publisher) -> None:
        self.desired: Desired | None = None
        self._device_id = device_id
        self._state = state
        self._publisher = publisher
        self._restored = False
        self._unsaved = False
        self._outcomes: dict[str, Outcome] = {}
        self._trouble = ""

    def publish(self) -> None:
        """Tell the other processes of the device."""
        if self.desired is not None:
            self._publisher.publish(topics.DESIRED, self.desired)

    async def mend(self) -> None:
        """Restore or save what could not be until now; to be called again and again."""
        if not self._restored:
            await self.restore()
        elif self._unsaved:
            await self._save()

    async def restore(self) -> None:
        """Take up what the local state keeps, unless the cloud has asked for newer since."""
        try:
            kept = await self._state.desired()
            outcomes = await self._state.outcomes() | self._outcomes
        except StateError as error:
            self._note(str(error))
            return
        self._restored = True
        self._outcomes = dict(sorted(outcomes.items(), key=lambda item: item[1].at_ms))
        self._note("")
        if kept is not None and (self.desired is None or kept.revision > self.desired.revision):
            self.desired = kept
            self.publish()
        elif self.desired is not None:
            await self._save()

    async def adopt(self, desired: Desired) -> None:
        """From now on this holds."""
        self.desired = desired
        self.publish()
        await self._save()

    async def carry_out(
        self, command: Command, *, wall_ms: int, now_ms: int | None
    ) -> tuple[CarriedOut, bool]:
        """Obey one command; the second value is False when it was carried out before.

        ``wall_ms`` is this device's clock, ``now_ms`` the cloud's (None: not known).
        """
        known = self._outcomes.get(command.command_id)
        if known is not None and self.desired and self.desired.revision >= command.seq:
            outcome = AckOutcome(known.outcome)
            return CarriedOut(self.desired, outcome, known.detail), False
        done = carry_out(self.desired, command, self._device_id, now_ms=now_ms)
        if done.desired is not None and done.desired != self.desired:
            await self.adopt(done.desired)
        kept = Outcome(done.outcome.value, done.detail, wall_ms)
        self._outcomes[command.command_id] = kept
        while len(self._outcomes) > OUTCOMES_LIMIT:
            del self._outcomes[next(iter(self._outcomes))]  # the oldest
        try:
            await self._state.put_outcome(command.command_id, kept)
        except StateError as error:
            self._note(str(error))
        return done, True

    async def _save(self) -> None:
        if self.desired is None:
            return
        try:
            await self._state.put_desired(self.desired)
            self._unsaved = False
            self._note("")
        except StateError as error:
            self._unsaved = True
            self._note(str(error))

    def _note(self, trouble: str) -> None:
        """One line in the log when the local state goes or comes back."""
        if bool(trouble) != bool(self._trouble):
            if trouble:
                _log.warning("%s; the session is kept in memory", trouble)
            else:
                _log.info("the local state answers again")
        self._trouble = trouble
