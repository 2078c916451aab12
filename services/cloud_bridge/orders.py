"""The cloud's commands on this device: verified, obeyed, acknowledged.

What does not carry the signature of the control plane for this very device is not a command of
ours, whoever relayed it: it is counted and left alone. It is not acknowledged either, so that the
control plane, whose command it may have been before somebody changed it, sends it again.
"""

import logging
from collections import Counter
from functools import partial
from typing import Any

import msgspec

from services.cloud_bridge.client import CloudClient
from services.cloud_bridge.errors import CloudRejected
from services.cloud_bridge.holding import Holding
from services.cloud_bridge.line import CloudLine
from unisono.core.commands import AckOutcome, Command
from unisono.core.units import NS_PER_MS
from unisono.runtime import Clock
from unisono.wire.seal import is_signed

ACK = "ack"

_log = logging.getLogger(__name__)


class Orders:
    """Carries out what the polls bring. ``counts`` is by kind and outcome."""

    def __init__(
        self,
        device_id: str,
        key: bytes,
        *,
        holding: Holding,
        line: CloudLine,
        client: CloudClient,
        clock: Clock,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._device_id = device_id
        self._key = key
        self._holding = holding
        self._line = line
        self._client = client
        self._clock = clock
        self._forged = False

    async def obey(self, body: dict[str, Any]) -> None:
        """One command; what is not acknowledged comes again."""
        if not self._is_genuine(body):
            self._note_forged(body)
            return
        self._forged = False
        try:
            command = msgspec.convert(body, Command)
        except msgspec.ValidationError as error:
            self.counts["? failed"] += 1
            _log.warning("a command of the cloud cannot be understood: %s", error)
            if isinstance(command_id := body.get("command_id"), str):
                await self._ack(command_id, AckOutcome.FAILED, f"not understood: {error}")
            return
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        now_ms = self._line.server_time_ms()
        done, first = await self._holding.carry_out(command, wall_ms=wall_ms, now_ms=now_ms)
        if first:
            self.counts[f"{command.kind.value} {done.outcome.value}"] += 1
            what = f"{command.kind.value} of session {command.session_id}, term {command.term}"
            detail = f" ({done.detail})" if done.detail else ""
            _log.info("%s: %s%s", what, done.outcome.value, detail)
        await self._ack(command.command_id, done.outcome, done.detail)

    def _is_genuine(self, body: dict[str, Any]) -> bool:
        try:
            return body.get("device_id") == self._device_id and is_signed(body, self._key)
        except (RecursionError, ValueError):  # no command of ours is nested a thousand deep
            return False

    def _note_forged(self, body: dict[str, Any]) -> None:
        self.counts["? forged"] += 1
        if not self._forged:
            _log.warning(
                "a command that the control plane has not signed for this device is not obeyed: "
                "%.100r; somebody between may have changed it",
                body.get("command_id"),
            )
        self._forged = True

    async def _ack(self, command_id: str, outcome: AckOutcome, detail: str) -> None:
        try:
            await self._line.ask(ACK, partial(self._client.ack, command_id, outcome, detail))
        except CloudRejected as error:
            _log.debug("the ack of %s is not wanted: %s", command_id, error)
