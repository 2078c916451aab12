"""The store's twin in memory: the same contract, for simulations and tests."""

import time
from collections.abc import Callable, Sequence

from unisono.state.errors import StateError, StateUnavailable
from unisono.state.store import AddTo, DropFields, Fields, Guard, SetFields, Write


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
        self._keys: dict[str, dict[str, bytes]] = {}
        self._forget_at_ms: dict[str, int] = {}

    async def read(self, reads: Sequence[Fields]) -> list[dict[str, bytes]]:
        """The fields of each read, in order."""
        self._serve()
        return [self._read(line) for line in reads]

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order."""
        self._serve()
        for line in writes:
            self._write(line)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all if every guard holds."""
        self._serve()
        for guard in guards:
            if self._keys.get(guard.key, {}).get(guard.name) != guard.expected:
                return False
        for line in writes:
            self._write(line)
        return True

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

    def _read(self, line: Fields) -> dict[str, bytes]:
        held = self._keys.get(line.key, {})
        if line.names is None:
            return dict(held)
        return {name: held[name] for name in line.names if name in held}

    def _write(self, line: Write) -> None:
        match line:
            case SetFields(key, values, ttl_ms):
                self._keys.setdefault(key, {}).update(values)
                self._keep(key, ttl_ms)
            case DropFields(key, names):
                held = self._keys.get(key, {})
                for name in names:
                    held.pop(name, None)
                if not held:
                    self._drop(key)
            case AddTo(key, name, by, ttl_ms):
                held = self._keys.setdefault(key, {})
                try:
                    held[name] = b"%d" % (int(held.get(name, b"0")) + by)
                except ValueError:
                    raise StateError(f"{key}: {name} is not a whole number") from None
                self._keep(key, ttl_ms)

    def _keep(self, key: str, ttl_ms: int | None) -> None:
        if ttl_ms is not None:
            self._forget_at_ms[key] = self._now_ms() + ttl_ms

    def _drop(self, key: str) -> None:
        self._keys.pop(key, None)
        self._forget_at_ms.pop(key, None)
