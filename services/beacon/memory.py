"""The process's memory over restarts: local state, which may be away at any time."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from unisono.core.keptclock import KeptClock
from unisono.core.session import Desired
from unisono.core.units import OwnNs
from unisono.runtime.boot import boot_id
from unisono.state import LocalState, StateUnavailable

T = TypeVar("T")

_log = logging.getLogger("unisono.beacon")


class Memory:
    """What `LocalState` keeps for this process; while that is away, nothing is known."""

    def __init__(self, state: LocalState) -> None:
        self._state = state
        self._boot_id = boot_id()
        self.away = False  # as of the last try

    async def desired(self) -> Desired | None:
        """What the cloud last asked."""
        return await self._try(self._state.desired())

    async def seq_ceiling(self, session_id: str, term: int) -> int:
        """The ceiling kept last for that term; 0: not known."""
        return await self._try(self._state.seq_ceiling(session_id, term)) or 0

    async def keep_seq_ceiling(self, session_id: str, term: int, ceiling: int) -> bool:
        """Reserve every seq below ``ceiling``; False when it could not be kept."""
        return await self._done(self._state.put_seq_ceiling(session_id, term, ceiling))

    async def origin(self, session_id: str) -> OwnNs | None:
        """Phase 0 on the own clock, if it was kept in this boot."""
        kept = await self._try(self._state.timeline_origin(session_id))
        # A machine that cannot tell its boots apart has none in common with the past.
        if kept is None or not self._boot_id or kept.boot_id != self._boot_id:
            return None
        return kept.origin_own_ns

    async def keep_origin(self, session_id: str, origin_own_ns: OwnNs) -> bool:
        """Keep phase 0 for this boot; False when it could not be kept."""
        put = self._state.put_timeline_origin(session_id, origin_own_ns, self._boot_id)
        return await self._done(put)

    async def kept_clock(self) -> KeptClock | None:
        """What was last known of a master's clock; whether it is of use yet is to be asked."""
        return await self._try(self._state.kept_clock())

    async def keep_clock(self, kept: KeptClock) -> None:
        """Keep what is known of the master's clock, if it can be kept."""
        await self._done(self._state.put_kept_clock(kept))

    async def _done(self, writing: Awaitable[None]) -> bool:
        async def write() -> bool:
            await writing
            return True

        return await self._try(write()) or False

    async def _try(self, asking: Awaitable[T]) -> T | None:
        """The answer; None, with one line of log, while local state is away."""
        try:
            answer = await asking
        except StateUnavailable as error:
            if not self.away:
                _log.warning("%s; going on from memory", error)
            self.away = True
            return None
        if self.away:
            _log.info("local state is back")
        self.away = False
        return answer
