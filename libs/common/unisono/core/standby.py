"""Standby: by which paths a follower wants beacons. Pure.

The paths stand in order of what they cost the site: multicast first, whose cost does not grow
with the followers, then what the master must send to each of them. A path is *steady* once no
gap in it was longer than `SILENT_PERIODS` (nor than `SILENT_LEAST_NS`) for `STEADY_NS`. A path on
demand is wanted as long as no path before it is steady: at joining all are; soon the first good
one is left alone; and when that one falls silent all others are asked for at once. Up to 28 beats
a second that is in time for the second beat that it owes, at faster ones for the first after 60 ms.

Asking is quick and leaving is slow: each gap doubles how long its path must then be without one,
from `STEADY_NS` on, and four times as long without one halves it again. So where one beacon in
fifty is lost the others are soon wanted for good, and not asked and left all the time.

Only verified beacons may be told of here: garbage must not make a dead path look alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs

# The next beat is due after 1 period; what it may be late by is 0.7, and what is left of the
# second period is for the request to reach the master before its next beat.
SILENT_PERIODS: Final = 1.7
# Wi-Fi holds packets up for so long now and then: no silence that a whole site should answer.
SILENT_LEAST_NS: Final = 60 * NS_PER_MS
STEADY_NS: Final = 2 * NS_PER_S
# So many gaps count: the last of them asks for STEADY_NS * 2^4, 32 s.
MOST_GAPS: Final = 5
# A gap counts until its path was without one for so many times what it asks for.
FORGET_TIMES: Final = 4
# A gap that wide is another count, of a master that was started again, and no loss.
MAX_LOST: Final = 2**15


@dataclass(slots=True)
class _Path:
    """What is known of one path."""

    on_demand: bool
    wanted: bool
    heard_ns: OwnNs | None = None
    whole_since_ns: OwnNs | None = None  # no gap since; None: nothing came since the last one
    gaps: int = 0  # that still count
    last_seq: int | None = None
    copies: int = 0
    lost: int = 0

    @property
    def quiet_ns(self) -> int:
        """How long it must be without a gap to be steady."""
        return STEADY_NS << max(0, self.gaps - 1)

    def break_off(self) -> None:
        """Count a gap of a path that was steady, once; those that are long ago count no more.

        What a whole site misses while it starts, or after a first gap, is no sign of a bad path.
        """
        if self.whole_since_ns is None or self.heard_ns is None:
            return
        whole_ns = self.heard_ns - self.whole_since_ns
        self.whole_since_ns = None
        if whole_ns < self.quiet_ns:
            return
        while self.gaps and whole_ns >= FORGET_TIMES * self.quiet_ns:
            whole_ns -= FORGET_TIMES * self.quiet_ns
            self.gaps -= 1
        self.gaps = min(self.gaps + 1, MOST_GAPS)


class Standby:
    """Watches the paths of one follower.

    ``paths``: name and whether it is on demand, cheapest first; ``period_ns`` of the beat.
    """

    def __init__(self, paths: Sequence[tuple[str, bool]], period_ns: int) -> None:
        self._paths = {name: _Path(on_demand, wanted=True) for name, on_demand in paths}
        self._silent_ns = max(round(SILENT_PERIODS * period_ns), SILENT_LEAST_NS)

    @property
    def wanted(self) -> frozenset[str]:
        """The paths on demand that are wanted, as of the last `look`."""
        return frozenset(n for n, p in self._paths.items() if p.on_demand and p.wanted)

    @property
    def copies(self) -> dict[str, int]:
        """Verified copies by path, repetitions left out."""
        return {name: path.copies for name, path in self._paths.items()}

    @property
    def lost(self) -> dict[str, int]:
        """Numbers passed over by path, while it was open to this device."""
        return {name: path.lost for name, path in self._paths.items()}

    def begin(self) -> None:
        """Another master: its numbers and its paths are new."""
        for path in self._paths.values():
            path.whole_since_ns = path.last_seq = None
            path.gaps = 0

    def heard(self, name: str, seq: int, at_ns: OwnNs) -> bool:
        """A verified copy came at ``at_ns``; whether it is newer than all that this path brought.

        ``at_ns`` is the stamp of arrival, so that a stall of this process is no gap. One that is
        not newer is a repetition, of the network or of somebody: no sign of life.
        """
        path = self._paths[name]
        last_seq = path.last_seq
        if last_seq is not None and seq <= last_seq:
            return False
        path.copies += 1
        if self._is_silent(path, at_ns):
            path.break_off()
        if path.whole_since_ns is None:
            path.whole_since_ns = at_ns
        path.heard_ns = at_ns
        if last_seq is not None and seq - last_seq <= MAX_LOST:
            path.lost += seq - last_seq - 1
        path.last_seq = seq
        return True

    def look(self, now_ns: OwnNs) -> OwnNs | None:
        """Decide anew what is `wanted`; the result is when to look again if nothing comes before.

        None: nothing to wait for, the next beacon is soon enough.
        """
        covered, again_ns = False, None
        for path in self._paths.values():
            self._decide(path, wanted=not covered)
            if self._is_silent(path, now_ns):
                path.break_off()
            since_ns = path.whole_since_ns
            if not covered and since_ns is not None and now_ns - since_ns >= path.quiet_ns:
                assert path.heard_ns is not None  # noqa: S101 - it is steady
                covered, again_ns = True, OwnNs(path.heard_ns + self._silent_ns + 1)
        return again_ns

    def _is_silent(self, path: _Path, now_ns: OwnNs) -> bool:
        return path.heard_ns is not None and now_ns - path.heard_ns > self._silent_ns

    def _decide(self, path: _Path, *, wanted: bool) -> None:
        if path.on_demand and wanted != path.wanted:
            path.wanted = wanted
            path.whole_since_ns = path.last_seq = None  # what it misses while unwanted is no loss
