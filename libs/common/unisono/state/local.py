"""A device's own state: what must outlive its processes.

Nothing here is needed to keep a show running: every method may raise `StateUnavailable`, within
about a second, and its caller goes on from memory.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from unisono.core.keptclock import KeptClock
from unisono.core.session import Desired
from unisono.core.units import OwnNs
from unisono.state import keys
from unisono.state.codec import decode, decode_all, encode, number
from unisono.state.keys import Key, device_key
from unisono.state.memory import MemoryStore
from unisono.state.redis_store import RedisStore
from unisono.state.store import DropFields, Fields, SetFields, Store

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


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """The device's secret since it was last changed, and the one ``before`` that.

    ``replaces_sha256`` is the hash of the secret in the settings, in whose place it is used.
    """

    secret: str = field(repr=False)
    before: str = field(repr=False)
    replaces_sha256: str


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
        """The last ceiling that could be kept; 0 when none is.

        Every beacon of that term had a lower seq, unless this state was away for minutes since.
        """
        return number(await self._field(keys.SEQ, f"{session_id}/{term}"), "seq")

    async def put_seq_ceiling(self, session_id: str, term: int, ceiling: int) -> None:
        """Reserve every seq below ``ceiling`` (beacon, before it sends them).

        The ceilings of other terms are forgotten: no device leads in a term that is over.
        """
        await self._put_alone(keys.SEQ, f"{session_id}/{term}", encode(ceiling))

    async def timeline_origin(self, session_id: str) -> TimelineOrigin | None:
        """Phase 0 of the session on this device's clock, and the boot in which that holds."""
        body = await self._field(keys.TIMELINE, session_id)
        return decode(TimelineOrigin, body, "timeline")

    async def put_timeline_origin(
        self, session_id: str, origin_own_ns: OwnNs, boot_id: str
    ) -> None:
        """Keep phase 0 of the session (beacon); that of other sessions is forgotten."""
        origin = TimelineOrigin(origin_own_ns, boot_id)
        await self._put_alone(keys.TIMELINE, session_id, encode(origin))

    async def kept_clock(self) -> KeptClock | None:
        """What was last known of the master's clock; `still_holds` says whether it is of use."""
        return decode(KeptClock, await self._field(keys.CLOCK, "clock"), "clock")

    async def put_kept_clock(self, kept: KeptClock) -> None:
        """Keep what is known of the master's clock (beacon)."""
        await self._put(keys.CLOCK, "clock", encode(kept))

    async def kept_secret(self) -> KeptSecret | None:
        """The secret in the place of the settings' one; None when it was never changed."""
        return decode(KeptSecret, await self._field(keys.IDENTITY, "identity"), "identity")

    async def put_kept_secret(self, kept: KeptSecret) -> None:
        """Keep a secret (cloud_bridge, before it is used)."""
        await self._put(keys.IDENTITY, "identity", encode(kept))

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

    async def _field(self, row: Key, name: str) -> bytes | None:
        (fields,) = await self._store.read([Fields(device_key(row), (name,))])
        return fields.get(name)

    async def _put(self, row: Key, name: str, body: bytes) -> None:
        await self._store.write([SetFields(device_key(row), {name: body}, row.ttl_ms)])

    async def _put_alone(self, row: Key, name: str, body: bytes) -> None:
        """Set a field and remove the others of its key."""
        key = device_key(row)
        (held,) = await self._store.read([Fields(key)])
        others = tuple(other for other in held if other != name)
        await self._store.write([SetFields(key, {name: body}, row.ttl_ms), DropFields(key, others)])


def memory_local_state() -> LocalState:
    """The same, in memory only."""
    return LocalState(MemoryStore())
