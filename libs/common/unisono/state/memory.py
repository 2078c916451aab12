"""The store's twin in memory: the same contract, for simulations and tests."""

import re
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from unisono.state.errors import StateError, StateUnavailable
from unisono.state.store import (
    BELOW,
    AddTo,
    Append,
    DropFields,
    Entries,
    Fields,
    Guard,
    Hash,
    RaiseTo,
    SetFields,
    Watch,
    Write,
    check_numbers,
    one_group,
)

_WHOLE = re.compile(rb"0|-?[1-9][0-9]*")


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class MemoryStore:
    """One server in this process; it may be shared by any number of clients.

    ``available`` set to False makes every method raise `StateUnavailable`, as a server does
    that is away. ``now_ms`` tells the time that TTLs are counted in.
    """

    def __init__(self, now_ms: Callable[[], int] = _monotonic_ms) -> None:
        self.available = True
        self._now_ms = now_ms
        self._hashes: dict[str, Hash] = {}
        self._logs: dict[str, dict[bytes, int]] = {}
        self._forget_at_ms: dict[str, int] = {}

    async def read(self, reads: Sequence[Fields]) -> list[Hash]:
        """The fields of each read, in order."""
        self._serve()
        return [self._read(line) for line in reads]

    async def read_watching(
        self, reads: Sequence[Fields], watch: Watch
    ) -> tuple[list[Hash], list[Hash] | None]:
        """As `read`, and what ``watch`` asks for; None where its condition does not hold."""
        one_group([watch.key, *(line.key for line in (*reads, *watch.reads))])
        self._serve()
        found = [self._read(line) for line in reads]
        if not any(_below(value, watch.now) for value in self._hash(watch.key).values()):
            return found, None
        return found, [self._read(line) for line in watch.reads]

    async def entries(self, reads: Sequence[Entries]) -> list[list[tuple[int, bytes]]]:
        """For each read of a log its (time, entry) pairs, newest first."""
        self._serve()
        found = []
        for line in reads:
            log = self._newest_first(line.key)
            within = [pair for pair in log if line.from_ms <= pair[0] <= line.to_ms]
            found.append(within[: max(0, line.limit)])
        return found

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order."""
        self._serve()
        self._apply(writes)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all if every guard holds."""
        one_group(line.key for line in (*guards, *writes))
        self._serve()
        for guard in guards:
            if self._hash(guard.key).get(guard.name) != guard.expected:
                return False
        self._apply(writes)
        return True

    async def count(self, add: AddTo) -> int:
        """Add, and tell what the number is now."""
        self._serve()
        self._apply([add])
        return int(self._hashes[add.key][add.name])

    async def ping(self) -> None:
        """Return if available."""
        self._serve()

    async def close(self) -> None:
        """Nothing to give back: what was stored stays, as in a server."""

    def _serve(self) -> None:
        if not self.available:
            raise StateUnavailable("the store in memory was told to be away")
        now_ms = self._now_ms()
        for key in [key for key, at_ms in self._forget_at_ms.items() if at_ms <= now_ms]:
            self._drop(key)

    def _read(self, line: Fields) -> Hash:
        held = self._hash(line.key)
        if line.names is None:
            return dict(held)
        return {name: held[name] for name in line.names if name in held}

    def _newest_first(self, key: str) -> list[tuple[int, bytes]]:
        log = self._log(key)
        return sorted(((at_ms, entry) for entry, at_ms in log.items()), reverse=True)

    def _hash(self, key: str) -> Hash:
        """What a hash holds, for reading."""
        if key in self._logs:
            raise StateError(f"{key} is no hash")
        return self._hashes.get(key, {})

    def _log(self, key: str) -> dict[bytes, int]:
        """What a log holds, for reading."""
        if key in self._hashes:
            raise StateError(f"{key} is no log")
        return self._logs.get(key, {})

    def _apply(self, writes: Sequence[Write]) -> None:
        """Apply all, or raise and leave everything as it was."""
        check_numbers(writes)
        parts: tuple[dict[str, Any], ...] = (self._hashes, self._logs, self._forget_at_ms)
        touched = {line.key for line in writes}
        before = [{key: copy(part[key]) for key in touched & part.keys()} for part in parts]
        try:
            for line in writes:
                self._write(line)
        except StateError:
            for part, held in zip(parts, before, strict=True):
                for key in touched:
                    part.pop(key, None)
                part.update(held)
            raise

    def _write(self, line: Write) -> None:
        match line:
            case SetFields(key, values, ttl_ms):
                if values:
                    self._hashes[key] = {**self._hash(key), **values}
                self._keep(key, ttl_ms)
            case DropFields(key, None):
                self._drop(key)
            case DropFields(key, names):
                held = self._hash(key)
                for name in names or ():
                    held.pop(name, None)
                if not held:
                    self._drop(key)
            case AddTo(key, name, by, ttl_ms):
                number = _sum(key, name, self._hash(key).get(name, b"0"), by)
                self._hashes.setdefault(key, {})[name] = b"%d" % number
                self._keep(key, ttl_ms)
            case RaiseTo(key, name, to, ttl_ms):
                if _below(self._hash(key).get(name, b""), to):
                    self._hashes.setdefault(key, {})[name] = b"%d" % to
                self._keep(key, ttl_ms)
            case Append(key, at_ms, entry, keep, ttl_ms):
                self._log(key)
                log = self._logs.setdefault(key, {})
                log[entry] = max(at_ms, log.get(entry, at_ms))
                for _, oldest in self._newest_first(key)[keep:]:
                    del log[oldest]
                self._keep(key, ttl_ms)

    def _keep(self, key: str, ttl_ms: int | None) -> None:
        if ttl_ms is not None and (key in self._hashes or key in self._logs):
            self._forget_at_ms[key] = self._now_ms() + ttl_ms

    def _drop(self, key: str) -> None:
        self._hashes.pop(key, None)
        self._logs.pop(key, None)
        self._forget_at_ms.pop(key, None)


def _whole(value: bytes) -> int | None:
    """A whole number as a server writes it; None for anything else."""
    return int(value) if _WHOLE.fullmatch(value) else None


def _below(value: bytes, now: int) -> bool:
    number = _whole(value)
    return number is None or number < now


def _sum(key: str, name: str, held: bytes, by: int) -> int:
    number = _whole(held)
    if number is None:
        raise StateError(f"{key}: {name} is no whole number")
    if abs(number) < BELOW and abs(number + by) < BELOW:
        return number + by
    raise StateError(f"{key}: {name} would leave the range of whole numbers that are kept exactly")
