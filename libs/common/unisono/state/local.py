"""A device's own state: what must outlive its processes.

Nothing here is needed to keep a show running: every method may raise `StateUnavailable`, within
about a second, and its caller goes on from memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from unisono.core.session import Desired
from unisono.core.units import OwnNs
from unisono.state import keys
from unisono.state.codec import decode, decode_all, encode, number
from unisono.state.keys import Key, device_key
from unisono.state.memory import MemoryStore
from unisono.state.redis_store import RedisStore
from unisono.state.store import AddTo, DropFields, Fields, SetFields, Store

# How many summaries wait for the cloud: at one a minute, a week; then the oldest go.
TELEMETRY_LIMIT = 10_080
# How many carried-out commands are remembered: far more than a cloud repeats.
OUTCOMES_LIMIT = 256


class TimelineOrigin(NamedTuple):
    """Phase 0 of a session on this device's clock; it means nothing in another boot."""

    origin_own_ns: OwnNs
    boot_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended on this device; ``at_ms`` is wall time, only to forget the oldest."""

    outcome: str
    detail: str
    at_ms: int


class LocalState:
    """The keys of one device; each has a single writer: see `keys`.

    ``store`` is a store, or the URL of a server: ``unix://PATH?db=N`` or
    ``redis://HOST:PORT/N`` (`StateMisconfigured` when it is neither). It connects when first used.
    """

    def __init__(self, store: Store | str) -> None:
        self._store = RedisStore(store) if isinstance(store, str) else store

    async def close(self) -> None:
        """Give back the connections."""
        await self._store.close()

    async def desired(self) -> Desired | None:
        """What the cloud last asked; None when nothing readable is kept."""
        return decode(Desired, await self._field(keys.DESIRED, "desired"), "desired")

    async def put_desired(self, desired: Desired) -> None:
        """Keep what the cloud asks (cloud_bridge)."""
        await self._put(keys.DESIRED, "desired", encode(desired))

    async def seq_ceiling(self, session_id: str, term: int) -> int:
        """No beacon of that term was sent with this seq or a higher one; 0 when none is kept."""
        return number(await self._field(keys.SEQ, f"{session_id}/{term}"), "seq")

    async def put_seq_ceiling(self, session_id: str, term: int, ceiling: int) -> None:
        """Reserve every seq below ``ceiling`` (beacon, before it sends them)."""
        await self._put(keys.SEQ, f"{session_id}/{term}", encode(ceiling))

    async def timeline_origin(self, session_id: str) -> TimelineOrigin | None:
        """Phase 0 of the session on this device's clock, and the boot in which that holds."""
        body = await self._field(keys.TIMELINE, session_id)
        return decode(TimelineOrigin, body, "timeline")

    async def put_timeline_origin(
        self, session_id: str, origin_own_ns: OwnNs, boot_id: str
    ) -> None:
        """Keep phase 0 of the session (beacon)."""
        await self._put(keys.TIMELINE, session_id, encode(TimelineOrigin(origin_own_ns, boot_id)))

    async def outcomes(self) -> dict[str, Outcome]:
        """How the commands ended that this device has carried out, by command id."""
        key = device_key(keys.OUTCOMES)
        (fields,) = await self._store.read([Fields(key)])
        return decode_all(Outcome, fields, "outcomes")

    async def put_outcome(self, command_id: str, outcome: Outcome) -> None:
        """Remember a command (cloud_bridge); beyond the limit the oldest are forgotten."""
        known = await self.outcomes()
        old = sorted(known, key=lambda name: known[name].at_ms)[: -OUTCOMES_LIMIT + 1]
        key, ttl_ms = device_key(keys.OUTCOMES), keys.OUTCOMES.ttl_ms
        await self._store.write(
            [SetFields(key, {command_id: encode(outcome)}, ttl_ms), DropFields(key, tuple(old))]
        )

    async def queue_telemetry(self, summaries: Mapping[int, bytes]) -> None:
        """Keep summaries, by growing order number, until the cloud has them (cloud_bridge)."""
        key, ttl_ms = device_key(keys.TELEMETRY), keys.TELEMETRY.ttl_ms
        (held,) = await self._store.read([Fields(key)])
        fields = {f"{order:020d}": body for order, body in summaries.items()}
        old = sorted(held | fields)[:-TELEMETRY_LIMIT]
        await self._store.write([SetFields(key, fields, ttl_ms), DropFields(key, tuple(old))])

    async def telemetry(self) -> dict[int, bytes]:
        """The summaries that wait, oldest first."""
        (held,) = await self._store.read([Fields(device_key(keys.TELEMETRY))])
        return {int(name): held[name] for name in sorted(held) if name.isdecimal()}

    async def drop_telemetry(self, orders: tuple[int, ...]) -> None:
        """Forget summaries that the cloud has taken (cloud_bridge)."""
        names = tuple(f"{order:020d}" for order in orders)
        await self._store.write([DropFields(device_key(keys.TELEMETRY), names)])

    async def counters(self, owner: str) -> dict[str, int]:
        """The lasting counters of one process."""
        (fields,) = await self._store.read([Fields(device_key(keys.COUNTERS, owner))])
        return {name: number(body, "counters") for name, body in fields.items()}

    async def add_counters(self, owner: str, growth: Mapping[str, int]) -> None:
        """Add to the lasting counters of ``owner`` (that process alone)."""
        key = device_key(keys.COUNTERS, owner)
        await self._store.write([AddTo(key, name, by) for name, by in growth.items()])

    async def _field(self, row: Key, name: str) -> bytes | None:
        (fields,) = await self._store.read([Fields(device_key(row), (name,))])
        return fields.get(name)

    async def _put(self, row: Key, name: str, body: bytes) -> None:
        await self._store.write([SetFields(device_key(row), {name: body}, row.ttl_ms)])


def memory_local_state() -> LocalState:
    """The same, in memory only."""
    return LocalState(MemoryStore())
