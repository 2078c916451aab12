"""What the parts of the process are built from."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from services.beacon.memory import Memory
from services.beacon.ways import Ways
from unisono.config import Flags, Settings
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
