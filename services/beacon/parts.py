"""What the parts of the process are built from."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from services.beacon.counters import Counters
from services.beacon.memory import Memory
from services.beacon.ways import Ways
from unisono.config import Flags, Settings
from unisono.core.session import SessionSpec
from unisono.runtime import Clock

# Runs a coroutine beside the rest; should it fail, so does the process.
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is built from."""

    settings: Settings
    flags: Flags
    ways: Ways
    memory: Memory
    clock: Clock


@dataclass(frozen=True, slots=True)
class Job:
    """What one role, master or follower, is given to do, and with what.

    ``on_change`` is called when the other processes of the device should hear of it at once.
    """

    spec: SessionSpec
    device_id: str
    flags: Flags
    ways: Ways
    memory: Memory
    clock: Clock
    counters: Counters
    spawn: Spawn
    on_change: Callable[[], None]


@dataclass(slots=True)
class PathTallies:
    """What a role has counted by path so far."""

    copies: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "PathTallies") -> "PathTallies":
        return PathTallies(
            self.copies + other.copies, self.lost + other.lost, self.restarts + other.restarts
        )
