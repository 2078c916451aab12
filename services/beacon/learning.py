"""The present master's clock as this device learns it, kept for a restart of the process."""

from services.beacon.memory import Memory
from unisono.core.clockmap import ClockMap
from unisono.core.estimator import ClockEstimator
from unisono.core.keptclock import KeptClock, still_holds
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import OwnNs
from unisono.runtime import Clock
from unisono.runtime.boot import clock_id


class MasterClock:
    """An estimate of one clock, and the name of that clock."""

    def __init__(self, clock: Clock, memory: Memory) -> None:
        self._clock = clock
        self._memory = memory
        self._estimator = ClockEstimator()
        self._own_id = clock_id()
        self._id: bytes | None = None
        self._kept: KeptClock | None = None  # of an earlier process, until its clock is met
        self.met_ns: OwnNs = clock.own_ns()  # since when this clock is learnt

    async def load(self) -> None:
        """See what an earlier process has learnt."""
        self._kept = await self._memory.kept_clock()

    def map(self) -> ClockMap | None:
        """What is known now."""
        return self._estimator.clock_map(self._clock.own_ns())

    @property
    def min_rtt_ns(self) -> int | None:
        """The lowest round trip to it."""
        return self._estimator.min_rtt_ns

    def meet(self, named: bytes, master_device_id: str, *, moved: bool) -> bool:
        """A beacon that counts names the master's clock; whether it is another one than so far.

        ``moved``: it has the same name, but was set anew. Another one is learnt from nothing, the
        one met first from what was kept of it, if that still holds.
        """
        another = moved or self._id not in (None, named)
        first = self._id is None
        self._id = named
        if another:
            self._estimator.reset()
            self.met_ns = self._clock.own_ns()
        kept, self._kept = self._kept, None
        if first and kept is not None:
            self._take_up(kept, master_device_id)
        return another

    def _take_up(self, kept: KeptClock, master_device_id: str) -> None:
        assert self._id is not None  # noqa: S101 - met
        if still_holds(
            kept,
            own_clock_id_hex=self._own_id.hex(),
            master_device_id=master_device_id,
            master_clock_id_hex=self._id.hex(),
            now_ns=self._clock.own_ns(),
        ):
            self._estimator.restore(kept.clock_map)

    def add_beacon(self, sample: BeaconSample) -> None:
        """Learn from a beacon."""
        self._estimator.add_beacon(sample)

    def add_probe(self, sample: ProbeSample) -> None:
        """Learn from a probe."""
        self._estimator.add_probe(sample)

    async def keep(self, session_id: str, term: int, master_device_id: str) -> None:
        """Keep what is known for the next process."""
        clock_map = self.map()
        if clock_map is None or self._id is None or self.min_rtt_ns is None:
            return  # beacons alone do not tell enough to be worth keeping
        await self._memory.keep_clock(
            KeptClock(
                session_id=session_id,
                term=term,
                master_device_id=master_device_id,
                master_clock_id_hex=self._id.hex(),
                own_clock_id_hex=self._own_id.hex(),
                clock_map=clock_map,
            )
        )
