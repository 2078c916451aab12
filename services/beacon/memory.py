"""The process's memory over restarts: local state, which may be away at any time."""

import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar

from unisono.core.session import Desired
from unisono.core.units import OwnNs
from unisono.state import LocalState, StateUnavailable

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

T = TypeVar("T")

_log = logging.getLogger("unisono.beacon")


class Memory:
    """What `LocalState` keeps for this process; while that is away, nothing is known."""

    def __init__(self, state: LocalState) -> None:
        self._state = state
        self._away = False
        self.boot_id = _boot_id()

    async def desired(self) -> Desired | None:
        """What the cloud last asked."""
        return await self._try(self._state.desired())

    async def seq_ceiling(self, session_id: str, term: int) -> int:
        """No beacon of that term was sent with this seq or a higher one; 0: not known."""
        return await self._try(self._state.seq_ceiling(session_id, term)) or 0

    async def keep_seq_ceiling(self, session_id: str, term: int, ceiling: int) -> None:
        """Reserve every seq below ``ceiling``."""
        await self._try(self._state.put_seq_ceiling(session_id, term, ceiling))

    async def origin(self, session_id: str) -> OwnNs | None:
        """Phase 0 on the own clock, if it was kept in this boot."""
        kept = await self._try(self._state.timeline_origin(session_id))
        return kept.origin_own_ns if kept is not None and kept.boot_id == self.boot_id else None

    async def keep_origin(self, session_id: str, origin_own_ns: OwnNs) -> None:
        """Keep phase 0 for this boot."""
        await self._try(self._state.put_timeline_origin(session_id, origin_own_ns, self.boot_id))

    async def _try(self, asking: Awaitable[T]) -> T | None:
        """The answer; None, with one line of log, while local state is away."""
        try:
            answer = await asking
        except StateUnavailable as error:
            if not self._away:
                _log.warning("%s; going on from memory", error)
            self._away = True
            return None
        if self._away:
            _log.info("local state is back")
        self._away = False
        return answer


def _boot_id() -> str:
    """The kernel's id of this boot; empty where there is none, which then never changes."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
