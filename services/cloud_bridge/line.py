"""The line to the cloud: when each call is made, with which secret, how it ended.

The cloud may be absent, slow or mad; then it is called less and less often, and one sentence in
the log says so.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.cloud_bridge.errors import CloudAway, CloudError, CloudNonsense, CloudRefused
from services.cloud_bridge.identity import Identity
from unisono.core.cadence import Call, next_wait_s
from unisono.core.units import NS_PER_MS, OwnNs
from unisono.lan.errors import LanError
from unisono.runtime import Clock

T = TypeVar("T")

_log = logging.getLogger(__name__)
_dice = secrets.SystemRandom()


class CloudLine:
    """One device's calls, counted by name and outcome."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.requests: Counter[str] = Counter()
        self.last_contact: OwnNs | None = None
        self._identity = identity
        self._clock = clock
        self._server_ahead_ms: int | None = None
        self._troubles: dict[Call, str] = {}
        self._wake = {call: asyncio.Event() for call in Call}
        self._hope = {call: asyncio.Event() for call in Call}

    @property
    def connected(self) -> bool:
        """Whether every call is answered as it should be."""
        return self.last_contact is not None and not any(self._troubles.values())

    def wake(self, call: Call) -> None:
        """Make that call now; not sooner than allowed while the cloud is in trouble."""
        self._wake[call].set()

    def hope(self) -> None:
        """There is a reason why calls that failed may succeed now: make them."""
        for event in self._hope.values():
            event.set()

    def note_server_time(self, server_time_ms: int | None) -> None:
        """What the cloud said of its clock, in an answer that came just now."""
        if server_time_ms is not None:
            self._server_ahead_ms = server_time_ms - self._clock.own_ns() // NS_PER_MS

    def server_time_ms(self) -> int | None:
        """The cloud's clock now, by its last answer; None when it has not said."""
        ahead_ms = self._server_ahead_ms
        return None if ahead_ms is None else ahead_ms + self._clock.own_ns() // NS_PER_MS

    async def ask(self, name: str, once: Callable[[], Awaitable[T]]) -> T:
        """The reply to one call; made again at once with the next secret when one is refused."""
        while True:
            secret = self._identity.secret
            try:
                reply = await once()
            except CloudError as error:
                self.requests[f"{name} {error.label}"] += 1
                if isinstance(error, CloudRefused) and self._identity.refused(secret):
                    continue
                raise
            self._identity.accepted()
            self.requests[f"{name} 200"] += 1
            self.last_contact = self._clock.own_ns()
            return reply

    async def keep_calling(
        self,
        call: Call,
        once: Callable[[], Awaitable[float | None]],
        interval_s: Callable[[Call], float],
    ) -> None:
        """Call, wait as the cadence says, call again; or at once when woken.

        ``once`` returns when the cloud wants to be called next, if it has said so.
        """
        failures = 0
        while True:
            self._wake[call].clear()
            self._hope[call].clear()
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
                interval_s(call),
                jitter=_dice.uniform(-1.0, 1.0),
                failures=failures,
                refused=refused,
                asked_s=asked_s,
            )
            # A cloud in trouble is not called sooner because something woke us.
            await _pause(wait_s, self._hope[call] if failures else self._wake[call])

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, CloudRefused):
            return (
                f"{error}; enrol {self._identity.device_id} anew and set UNISONO_DEVICE_SECRET; "
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
