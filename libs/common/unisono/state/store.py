"""The store below all state: hashes of bytes, read and written in batches, one atomic commit.

Everything is a hash, even a single value. So there are two kinds of reads, three kinds of
writes and one compare-and-set, and both implementations (Redis, memory) stay small enough to be
equal.
The store decides nothing: what to write is worked out by pure functions above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Fields:
    """Read fields of ``key``: all, or those in ``names``; absent ones are left out."""

    key: str
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SetFields:
    """Write fields of ``key``; with ``ttl_ms`` the whole key is forgotten that much later."""

    key: str
    values: Mapping[str, bytes]
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DropFields:
    """Remove fields of ``key``; those that are absent do not matter."""

    key: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddTo:
    """Add ``by`` to the whole number in a field (0 when absent)."""

    key: str
    name: str
    by: int = 1
    ttl_ms: int | None = None


Write = SetFields | DropFields | AddTo


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of a commit: the field holds exactly ``expected``; None: it is absent."""

    key: str
    name: str
    expected: bytes | None


class Store(Protocol):
    """One server. Every method is one round trip and raises `StateUnavailable` in good time."""

    async def read(self, reads: Sequence[Fields]) -> list[dict[str, bytes]]:
        """The fields of each read, in order; {} for a key that is absent."""
        ...

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order. Not atomic: each stands for itself."""
        ...

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all, atomically, if every guard holds; False (and no change) if one does not.

        In a cluster all keys must share one hash tag.
        """
        ...

    async def ping(self) -> None:
        """Return if the server answers."""
        ...

    async def close(self) -> None:
        """Give back the connections."""
        ...
