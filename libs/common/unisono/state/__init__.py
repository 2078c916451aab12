"""State that outlives a process: Redis, and its twin in memory."""

from unisono.state.documents import DocumentStore
from unisono.state.errors import StateError, StateMisconfigured, StateUnavailable
from unisono.state.local import (
    LocalState,
    Outcome,
    TimelineOrigin,
    memory_local_state,
)
from unisono.state.memory import MemoryStore
from unisono.state.redis_store import RedisStore
from unisono.state.store import Store

__all__ = [
    "DocumentStore",
    "LocalState",
    "MemoryStore",
    "Outcome",
    "RedisStore",
    "StateError",
    "StateMisconfigured",
    "StateUnavailable",
    "Store",
    "TimelineOrigin",
    "memory_local_state",
]
