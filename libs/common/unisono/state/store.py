"""The store below all state: hashes and logs of bytes, read and written in batches.

A key is a hash (even a single value is), or a log: entries ordered by time, the oldest of which
are forgotten. So there are few kinds of reads and writes and one compare-and-set, and both
implementations (Redis, memory) stay small enough to be equal.
The store decides nothing: what to write is worked out by pure functions above it.

The keys of one call are grouped by their hash tag (`group_of`), since each group may live on
another machine: one round trip for each, side by side. What must be atomic (`Store.commit`, and
the condition of a `Watch`) must lie in one group; ValueError says that it does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from unisono.state.errors import StateError

# Every number stays below this, either way: what all parts of a store hold exactly.
BELOW = 2**53


@dataclass(frozen=True, slots=True)
class Fields:
    """Read fields of ``key``: all, or those in ``names``; absent ones are left out."""

    key: str
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """Read the log ``key``: the newest ``limit`` entries with a time in [from_ms, to_ms]."""

    key: str
    from_ms: int
    to_ms: int
    limit: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Further reads that are only made if some whole number in the hash ``key`` is below ``now``.

    What is no number counts as below. It spares reading what is rarely needed, and the second
    round trip when it is.
    """

    key: str
    now: int
    reads: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class SetFields:
    """Write fields of ``key``; with ``ttl_ms`` the whole key is forgotten that much later."""

    key: str
    values: Mapping[str, bytes]
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DropFields:
    """Remove fields of ``key`` (None: all of it); those that are absent do not matter."""

    key: str
    names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class AddTo:
    """Add ``by`` to the whole number in a field (0 when absent).

    What comes of it is below `BELOW`, either way.
    """

    key: str
    name: str
    by: int = 1
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RaiseTo:
    """Write the whole number ``to`` into a field that holds less, or no whole number."""

    key: str
    name: str
    to: int
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Put ``entry`` into the log ``key`` at ``at_ms``; the same again changes nothing more.

    Equal bytes are one entry, at the later of their times: what has to be there twice must
    differ. Of entries of one time, those with the higher bytes count as newer.
    Of the log the newest ``keep`` entries stay; the whole of it is forgotten ``ttl_ms`` after
    the last append.
    """

    key: str
    at_ms: int
    entry: bytes
    keep: int
    ttl_ms: int


Write = SetFields | DropFields | AddTo | RaiseTo | Append


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of a commit: the field holds exactly ``expected``; None: it is absent."""

    key: str
    name: str
    expected: bytes | None


Hash = dict[str, bytes]


def group_of(key: str) -> str:
    """The part of a key that a cluster places it by: its hash tag, or all of it."""
    begin = key.find("{") + 1
    end = key.find("}", begin)
    return key[begin:end] if 0 < begin < end else key


def one_group(keys: Iterable[str]) -> None:
    """ValueError unless all keys are of one group."""
    groups = sorted({group_of(key) for key in keys})
    if len(groups) > 1:
        raise ValueError(f"keys of several hash tags in one atomic step: {', '.join(groups)}")


def check_numbers(writes: Iterable[Write]) -> None:
    """`StateError` unless all numbers of these writes are below `BELOW`, either way."""
    for line in writes:
        match line:
            case AddTo(key, name, number, ttl_ms) | RaiseTo(key, name, number, ttl_ms):
                numbers: tuple[int, ...] = (number, ttl_ms or 0)
            case Append(key, number, _, keep, ttl_ms):
                name, numbers = "its time", (number, keep, ttl_ms)
            case SetFields(key, _, ttl_ms):
                name, numbers = "its TTL", (ttl_ms or 0,)
            case _:
                continue
        if max(map(abs, numbers)) >= BELOW:
            raise StateError(f"{key}: {name} is to hold a number that cannot be kept exactly")


class Store(Protocol):
    """One server or cluster. Every method raises `StateUnavailable` in good time.

    Each is one round trip for each group of keys, side by side. When a write, a commit or a count
    raises `StateUnavailable` it may have been done or not; it is never done twice.
    `StateError`: the whole cannot be written, and nothing of its group was. A number is, or would
    become, none that can be kept (`BELOW`), or a key is a log where it ought to be a hash.
    """

    async def read(self, reads: Sequence[Fields]) -> list[Hash]:
        """The fields of each read, in order; {} for a key that is absent."""
        ...

    async def read_watching(
        self, reads: Sequence[Fields], watch: Watch
    ) -> tuple[list[Hash], list[Hash] | None]:
        """As `read`, and what ``watch`` asks for; None where its condition does not hold.

        All keys are of one group.
        """
        ...

    async def entries(self, reads: Sequence[Entries]) -> list[list[tuple[int, bytes]]]:
        """For each read of a log its (time, entry) pairs, newest first."""
        ...

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order; atomic for each group of keys, not for all of them."""
        ...

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all, atomically, if every guard holds; False (and no change) if one does not.

        All keys are of one group.
        """
        ...

    async def count(self, add: AddTo) -> int:
        """Add, and tell what the number is now."""
        ...

    async def ping(self) -> None:
        """Return if the server answers."""
        ...

    async def close(self) -> None:
        """Give back the connections."""
        ...
