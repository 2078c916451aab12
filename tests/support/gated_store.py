"""A store whose writes can be held back: a call stopped between what it read and its settling."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

from unisono.state.store import AddTo, Entries, Fields, Guard, Hash, Store, Watch, Write


class Gate:
    """Holds one write back: `waiting` is set while it waits for `opened`."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.opened = asyncio.Event()

    async def passed(self) -> None:
        """Wait, if nobody has waited here before."""
        if not self.waiting.is_set():
            self.waiting.set()
            await self.opened.wait()


# The gate of the call that runs; calls that set none pass.
GATE: ContextVar[Gate | None] = ContextVar("GATE", default=None)


class GatedStore:
    """The store below; the first write of a call that has a `GATE` waits until it is opened."""

    def __init__(self, below: Store) -> None:
        self._below = below

    async def _pass(self) -> None:
        gate = GATE.get()
        if gate is not None:
            await gate.passed()

    async def read(self, reads: Sequence[Fields]) -> list[Hash]:
        """As below."""
        return await self._below.read(reads)

    async def read_watching(
        self, reads: Sequence[Fields], watch: Watch
    ) -> tuple[list[Hash], list[Hash] | None]:
        """As below."""
        return await self._below.read_watching(reads, watch)

    async def entries(self, reads: Sequence[Entries]) -> list[list[tuple[int, bytes]]]:
        """As below."""
        return await self._below.entries(reads)

    async def write(self, writes: Sequence[Write]) -> None:
        """As below, once the gate is open."""
        await self._pass()
        await self._below.write(writes)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """As below, once the gate is open."""
        await self._pass()
        return await self._below.commit(guards, writes)

    async def count(self, add: AddTo) -> int:
        """As below."""
        return await self._below.count(add)

    async def ping(self) -> None:
        """As below."""
        await self._below.ping()

    async def close(self) -> None:
        """As below."""
        await self._below.close()
