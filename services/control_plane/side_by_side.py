"""Many small waits at once, but never more than the store has connections for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 16  # a quarter of the store's connections: others call meanwhile


async def side_by_side(make: Callable[[str], Awaitable[T]], names: Iterable[str]) -> list[T]:
    """What ``make`` gives for each name, in their order."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> T:
        async with free:
            return await make(name)

    return await asyncio.gather(*(one(name) for name in names))
