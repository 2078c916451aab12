"""The master's part: the beat on the LAN, and answers to probes."""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from services.beacon.beat import Beat
from services.beacon.origin import Instant, Origin, View, first_origin, wall_origin
from services.beacon.parts import Job, PathTallies
from unisono.bus.topics import Timing
from unisono.core.clockmap import identity
from unisono.core.session import Role
from unisono.core.timeline import Timeline
from unisono.core.units import NS_PER_S, MasterNs, OwnNs
from unisono.lan.errors import InterfaceUnknown, LanError
from unisono.lan.paths import BeaconPublisher, Endpoint
from unisono.lan.probes import ProbeResponder
from unisono.runtime.boot import clock_id
from unisono.wire import (
    Beacon,
    BeaconState,
    KeyRing,
    Refused,
    encode_beacon,
    first_seq,
    playlist_fingerprint,
)

PATH: Final = "self"
# Numbers are reserved in local state this far ahead: a write every minute or two, at 20 Hz.
RESERVE: Final = 4_096
# Local state that did not take them is asked again so soon.
KEEP_AGAIN_NS: Final = NS_PER_S
# How long and how often the end of a session is told, for the case that one is lost.
FAREWELLS: Final = 4
FAREWELL_WAIT_S: Final = 0.03
# Doors that could not be opened are tried again so soon.
DOORS_AGAIN_NS: Final = 5 * NS_PER_S
# From this rate on probes wait for the beat: 0.1 s is little beside a joiner's first seconds.
HOLD_FROM_HZ: Final = 10.0
# Answers that go before a beat, half a millisecond's worth; and behind it, what a socket holds.
PROBES_BEFORE: Final = 8
ALL_PROBES: Final = 512

_log = logging.getLogger("unisono.beacon")


class Master:
    """Leads one term of a session; opened once, closed once."""

    role = Role.MASTER

    def __init__(self, job: Job, *, view: View | None) -> None:
        spec = job.spec
        self._job = job
        self._spec = spec
        self._counters = job.counters
        self._clock = job.clock
        self._inherited = view
        self._keys = KeyRing(bytes.fromhex(spec.secret_hex), spec.session_id, spec.term)
        self._key = self._keys.key_of_term(spec.term)
        self._clock_id = clock_id()
        self._fingerprint = playlist_fingerprint(spec.playlist)
        self._length_ns = spec.playlist.length_ns
        self._origin: Origin | None = None
        self._publishers: Sequence[BeaconPublisher] = ()
        self._responders: Sequence[ProbeResponder] = ()
        self._doors_tried_ns = OwnNs(0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._seq = 0
        self._ceiling = 0  # what local state is known to have; numbers below are reserved
        self._origin_kept = False
        self._keeping: asyncio.Task[None] | None = None
        self._kept_ns = OwnNs(0)
        self._sent_ns: OwnNs | None = None
        self._since_ns: OwnNs | None = None
        self._beat = Beat(job.flags.lan_beacon_hz, job.clock.own_ns)

    @property
    def term(self) -> int:
        """The term it leads."""
        return self._spec.term

    async def open(self) -> None:
        """Take the ports, find the timeline's origin and start the beat; may raise `LanError`."""
        session_id, term = self._spec.session_id, self._spec.term
        memory = self._job.memory
        stored_ns, ceiling = await asyncio.gather(
            memory.origin(session_id), memory.seq_ceiling(session_id, term)
        )
        now = self._now()
        self._seq = first_seq(now.own_ns, ceiling)
        self._origin = first_origin(
            start_at_ms=self._spec.start_at_ms,
            now=now,
            view=self._inherited,
            stored_own_ns=stored_ns,
        )
        self._publishers = self._job.ways.publishers(
            self._job.flags, self._spec, self._keys, self._refuse_request
        )
        for publisher in self._publishers:
            await publisher.open()
        if not memory.away:  # then it answers in no time: numbers are reserved before use
            await self._keep()
        try:
            self._open_doors()
        except InterfaceUnknown as error:  # it has no address at present: `_send` tries again
            _log.warning("%s", error)
        self._beating = self._start(self._beat.run(self._send, self._told))
        _log.info("leading %s, term %d, from seq %d", session_id, term, self._seq)

    async def close(self, *, ended: bool = False) -> None:
        """Stop the beat and free the ports; ``ended``: tell the followers that all is over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if ended and self._sent_ns is not None:
            for _ in range(FAREWELLS):
                self._emit(BeaconState.STOPPED)
                await asyncio.sleep(FAREWELL_WAIT_S)
        for publisher in self._publishers:
            await publisher.close()
        self._close_doors()

    def renew(self) -> None:
        """The LAN has changed under this device: set everything up again."""
        if self._beating is None:  # still being opened, on the LAN as it is
            return
        for publisher in self._publishers:
            publisher.renew()
        self._mend_doors()

    def tallies(self) -> PathTallies:
        """What was counted by path."""
        return PathTallies(restarts=Counter({p.path: p.restarts for p in self._publishers}))

    @property
    def beat_late_ns(self) -> int | None:
        """How late the beat is, p99 of the last ten seconds."""
        return self._beat.late_p99_ns

    def view(self) -> View | None:
        """What it plays by: its own clock is the master's."""
        if self._origin is None:
            return None
        timeline = Timeline(self._origin.own_ns, self._length_ns)
        return View(self._spec.session_id, timeline, identity(self._clock.own_ns()))

    def timing(self) -> Timing:
        """What the other processes of this device are told."""
        view = self.view()
        return Timing(
            session_id=self._spec.session_id,
            term=self._spec.term,
            role=Role.MASTER,
            clock_map=view.clock_map if view is not None else None,
            timeline=view.timeline if view is not None else None,
            beacon_own_ns=self._sent_ns,
            stable_since_own_ns=self._since_ns,
            path=PATH,
        )

    def _now(self) -> Instant:
        """Both clocks at one instant: of three readings the least interrupted one."""
        own_ns, wall_ns = self._clock.own_ns, self._clock.wall_ns
        readings = [(own_ns(), wall_ns(), own_ns()) for _ in range(3)]
        before_ns, there_ns, after_ns = min(readings, key=lambda r: r[2] - r[0])
        return Instant(OwnNs((before_ns + after_ns) // 2), there_ns)

    def _open_doors(self) -> None:
        """Answer probes, whichever way they come.

        Datagrams wait for the next beat, which is awake anyway: their stamps are the kernel's, so
        waiting costs no exactness, and fifty followers cost no wake-ups. What it adds is the skew
        of two clocks over one period, some microseconds. A flood costs what a socket holds.
        """
        self._close_doors()
        self._doors_tried_ns = self._clock.own_ns()
        held = self._job.flags.lan_beacon_hz >= HOLD_FROM_HZ
        self._responders = [
            ProbeResponder(
                listener,
                self._keys,
                term=self._spec.term,
                device_id=self._job.device_id,
                on_refused=self._refuse_request,
            )
            for listener in self._job.ways.probe_listeners(held=held)
        ]

    def _mend_doors(self) -> None:
        """Open them anew; where that fails, `_send` tries again."""
        try:
            self._open_doors()
        except LanError as error:
            _log.warning("%s", error)

    def _close_doors(self) -> None:
        for responder in self._responders:
            responder.close()
        self._responders = ()

    def _send(self) -> None:
        """One beat."""
        first = self._sent_ns is None
        self._settle()
        # Rehearsed once: a processor that has just been woken takes several times as long for the
        # first round, and what passes from the stamp to the wire is taken for delay of the path.
        self._frame(BeaconState.PLAYING, self._clock.own_ns())
        # Before the beacon: an answer behind it would wait until that has gone to everybody.
        self._answer(PROBES_BEFORE)
        sent_ns = self._emit(BeaconState.PLAYING)
        if first:
            self._since_ns = sent_ns
            self._job.on_change()
        self._answer(ALL_PROBES)
        self._keep_if_due(sent_ns)

    def _answer(self, at_most: int) -> None:
        tried_ago_ns = self._clock.own_ns() - self._doors_tried_ns
        if not self._responders and tried_ago_ns >= DOORS_AGAIN_NS:
            self._mend_doors()
        for responder in self._responders:
            responder.answer_waiting(at_most)

    def _told(self) -> tuple[int, int]:
        return self._counters.sent, self._counters.unsent

    def _settle(self) -> None:
        """Until the start the wall clock has the last word; then the origin stands for ever."""
        assert self._origin is not None  # noqa: S101 - opened
        if self._origin.settled:
            return
        self._origin = wall_origin(self._spec.start_at_ms, self._now())

    def _emit(self, state: BeaconState) -> OwnNs:
        """Send one beacon on every path; returns the instant that it speaks of."""
        own_ns = self._clock.own_ns()
        frame = self._frame(state, own_ns)
        taken = [publisher.send(frame) for publisher in self._publishers]
        self._counters.sent += any(taken)
        self._counters.unsent += taken.count(False)
        self._seq += 1
        self._sent_ns = own_ns
        return own_ns

    def _frame(self, state: BeaconState, own_ns: OwnNs) -> bytes:
        """The next beacon, as of ``own_ns``."""
        assert self._origin is not None  # noqa: S101 - opened
        phase_ns = Timeline(self._origin.own_ns, self._length_ns).phase_ns(own_ns)
        counting_down = phase_ns < 0 and state is BeaconState.PLAYING
        beacon = Beacon(
            session_id=self._spec.session_id,
            term=self._spec.term,
            master_device_id=self._job.device_id,
            clock_id=self._clock_id,
            seq=self._seq,
            sent_ns=MasterNs(own_ns),
            phase_ns=phase_ns,
            speed=1.0,
            state=BeaconState.CUED if counting_down else state,
            playlist=self._fingerprint,
        )
        return encode_beacon(beacon, self._key)

    def _refuse_request(self, refused: Refused, asker: Endpoint) -> None:
        self._counters.refuse(refused, f"request of {asker}")

    def _keep_if_due(self, now_ns: OwnNs) -> None:
        """Write to local state beside the beat, which never waits for it; again until it took."""
        assert self._origin is not None  # noqa: S101 - opened
        short = self._seq + RESERVE // 2 > self._ceiling
        if not short and (self._origin_kept or not self._origin.settled):
            return
        writing = self._keeping is not None and not self._keeping.done()
        if not writing and now_ns - self._kept_ns >= KEEP_AGAIN_NS:
            self._keeping = self._start(self._keep())

    async def _keep(self) -> None:
        """Keep what a later process must know: numbers for a while to come, and the origin."""
        assert self._origin is not None  # noqa: S101 - opened
        self._kept_ns = self._clock.own_ns()
        session_id, ceiling = self._spec.session_id, self._seq + RESERVE
        if await self._job.memory.keep_seq_ceiling(session_id, self._spec.term, ceiling):
            self._ceiling = ceiling
        if (origin := self._origin).settled:  # each time: what is kept expires
            self._origin_kept = await self._job.memory.keep_origin(session_id, origin.own_ns)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._job.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
