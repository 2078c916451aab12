"""Judge of beacons: which verified beacons count, by term, seq, age, clock and phase. Pure.

A beacon fits when it lies on the line that the accepted ones before it drew: the sender's
clock moves as ours does, the phase moves with the sender's clock. One that does not fit is
refused. But what has really changed must not be refused for ever:

- A clock that began again (the master's device was started again) has another name, ``clock_id``:
  that is believed at once.
- What no delay can cause (a clock that is ahead or went back, a phase that moved) convinces by
  beacons that agree among themselves, ``CONVINCED_AFTER`` in a row over ``CONVINCED_NS``.
- Beacons that are merely late convince nobody, however many: held back on their way, or of a
  clock that stood still while its machine slept, they look the same. A probe tells: its answer
  cannot be older than its round trip. One that contradicts the line takes the line's place, and
  the next beacon that fits is believed.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from unisono.core.timeline import wrap_error_ns
from unisono.core.units import NS_PER_MS, MasterNs, OwnNs, scale_ppb
from unisono.wire.beacon import MAX_SEQ, Beacon, BeaconState
from unisono.wire.refusal import Reason

# A beacon held back longer than the fastest one by this much says nothing new about time; and no
# path delivers one that much sooner.
MAX_APART_NS: Final = 500 * NS_PER_MS
# A probe that took longer says too little of the master's clock to speak against its beacons.
MAX_WITNESS_RTT_NS: Final = MAX_APART_NS // 2
# Two phases of one timeline differ by rounding only; a frame of 60 fps is 16.7 ms.
MAX_PHASE_STEP_NS: Final = 5 * NS_PER_MS
# How fast "the fastest one" is forgotten, so that the two clocks' skew never adds up.
FORGET_PPB: Final = 1_000_000
# Beacons that agree with each other against the past, and the least time that they must span.
CONVINCED_AFTER: Final = 10
CONVINCED_NS: Final = 300 * NS_PER_MS
CONVINCED_SPREAD_NS: Final = 250 * NS_PER_MS
# Numbers below the newest that are remembered as seen: 3 s at 20 Hz.
SEEN_WINDOW: Final = 64
# A gap that wide is a restart of the master's process, not so many lost beacons.
RESTART_GAP: Final = 2**15

_SEQ_SHIFT: Final = 16


def first_seq(own_ns: OwnNs, stored_ceiling: int) -> int:
    """The first seq of a master's process: above those that this term has seen.

    The monotonic clock's milliseconds, shifted by 16 bits, grow by 65.5 million a second and the
    counter by 50 at most, so a later start is higher without any memory. ``stored_ceiling`` (0:
    none) covers the one case left, a restart of the whole device, whose clock begins again;
    without it, nothing does, and followers refuse what is sent until the next term.
    """
    return min(max((own_ns // NS_PER_MS) << _SEQ_SHIFT, stored_ceiling + 1), MAX_SEQ)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refused`` is None for a beacon that counts.

    ``lost`` is how many numbers were passed over since the newest one. ``new_term``: the first
    beacon of a term; ``new_clock``: the clock of the sender, known already, began again or was
    moved: all that was known of it is void.
    """

    refused: Reason | None = None
    lost: int = 0
    new_term: bool = False
    new_clock: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """The sender's clock minus ours, ``lead_ns`` ± ``doubt_ns``, as it was at ``at_ns`` of ours."""

    lead_ns: int
    at_ns: OwnNs
    doubt_ns: int = 0

    def forgotten_ns(self, own_ns: OwnNs) -> int:
        """What two crystals can differ by since then."""
        return scale_ppb(max(0, own_ns - self.at_ns), FORGET_PPB)

    def apart_ns(self, master_ns: MasterNs, own_ns: OwnNs, *, doubt_ns: int = 0) -> int:
        """How far ahead of this line a reading is; 0 while that is no contradiction."""
        apart_ns = (master_ns - own_ns) - self.lead_ns
        leeway_ns = self.doubt_ns + doubt_ns + self.forgotten_ns(own_ns)
        return apart_ns if abs(apart_ns) > MAX_APART_NS + leeway_ns else 0


class BeaconJudge:
    """Judges the beacons of one session in the order of their arrival.

    ``length_ns`` is the playlist's length, at which phases wrap.
    """

    def __init__(self, length_ns: int, lowest_term: int) -> None:
        self._length_ns = length_ns
        self._lowest_term = lowest_term
        self._newest: Beacon | None = None
        self._seen: deque[int] = deque(maxlen=SEEN_WINDOW)
        self._line = _Line(0, OwnNs(0))  # of the fastest beacon
        self._witness: _Line | None = None  # of a probe that contradicts that one
        self._suspects: list[tuple[Beacon, OwnNs]] = []

    def judge(self, beacon: Beacon, received_ns: OwnNs) -> Verdict:
        """Decide on one beacon, and learn from it when it counts."""
        newest = self._newest
        if beacon.term >= self._lowest_term and (newest is None or beacon.term > newest.term):
            if newest is None or beacon.master_device_id != newest.master_device_id:
                self._accept(beacon, received_ns, fresh=True)
                return Verdict(new_term=True)
            new_clock = self._has_new_clock(beacon, received_ns, newest)
            self._accept(beacon, received_ns, fresh=new_clock)
            return Verdict(new_term=True, new_clock=new_clock)
        if newest is None:
            return Verdict(Reason.OLD_TERM)
        if (disorder := self._disorder(beacon, newest)) is not None:
            return Verdict(disorder)
        if beacon.clock_id == newest.clock_id:
            fault = self._contradiction(beacon, received_ns, newest)
            if fault is not None and not self._convinced_by(beacon, received_ns, fault):
                return Verdict(fault)
        new_clock = self._has_new_clock(beacon, received_ns, newest)
        gap = beacon.seq - newest.seq
        self._accept(beacon, received_ns, fresh=new_clock)
        return Verdict(lost=gap - 1 if gap < RESTART_GAP else 0, new_clock=new_clock)

    def is_other_clock(self, master_ns: MasterNs, own_ns: OwnNs, *, doubt_ns: int) -> bool:
        """Whether ``master_ns``, read at ``own_ns`` (± ``doubt_ns``), is of another clock than
        the accepted beacons: what a probe, which names no clock, says of it must wait for beacons.
        """
        known = self._newest is not None
        return known and self._line.apart_ns(master_ns, own_ns, doubt_ns=doubt_ns) != 0

    def witness(self, master_ns: MasterNs, own_ns: OwnNs, *, rtt_ns: int) -> None:
        """A probe of the present master, sent at ``own_ns``, was received at ``master_ns``.

        If that cannot be on the line of the accepted beacons, only what fits the probe counts from
        now on: until such a beacon comes, or a probe that agrees with the line again.
        """
        if not 0 <= rtt_ns <= MAX_WITNESS_RTT_NS:
            return
        other = self.is_other_clock(master_ns, own_ns, doubt_ns=rtt_ns)
        self._witness = _Line(master_ns - own_ns, own_ns, rtt_ns) if other else None

    def _has_new_clock(self, beacon: Beacon, received_ns: OwnNs, newest: Beacon) -> bool:
        """Whether the clock of the sender of ``newest`` is another one now, or was moved.

        Being late alone is no sign of it: that may be the path's doing.
        """
        if beacon.clock_id != newest.clock_id or beacon.sent_ns <= newest.sent_ns:
            return True
        if self._witness is not None:
            return self._witness.apart_ns(beacon.sent_ns, received_ns) == 0
        return self._line.apart_ns(beacon.sent_ns, received_ns) > 0

    def _disorder(self, beacon: Beacon, newest: Beacon) -> Reason | None:
        """Term, master and number: what holds whatever the clocks say."""
        if beacon.term < newest.term:
            return Reason.OLD_TERM
        if beacon.master_device_id != newest.master_device_id:
            return Reason.WRONG_MASTER
        if beacon.seq <= newest.seq:
            return Reason.DUPLICATE if beacon.seq in self._seen else Reason.LATE
        return None

    def _accept(self, beacon: Beacon, received_ns: OwnNs, *, fresh: bool) -> None:
        lead_ns, line = beacon.sent_ns - received_ns, self._line
        if not fresh:
            lead_ns = max(line.lead_ns - line.forgotten_ns(received_ns), lead_ns)
        if self._newest is not None and beacon.term > self._newest.term:
            self._seen.clear()
        self._line = _Line(lead_ns, received_ns)
        self._witness = None
        self._lowest_term = beacon.term
        self._newest = beacon
        self._seen.append(beacon.seq)
        self._suspects.clear()

    def _contradiction(self, beacon: Beacon, received_ns: OwnNs, newest: Beacon) -> Reason | None:
        """The first way in which ``beacon`` does not lie on the line, if any."""
        witness = self._witness
        if witness is None and beacon.sent_ns <= newest.sent_ns:
            return Reason.CLOCK_JUMP
        if apart_ns := (witness or self._line).apart_ns(beacon.sent_ns, received_ns):
            return Reason.LATE if apart_ns < 0 else Reason.CLOCK_JUMP
        if witness is None and abs(self._phase_step_ns(newest, beacon)) > MAX_PHASE_STEP_NS:
            return Reason.PHASE_JUMP
        return None

    def _phase_step_ns(self, earlier: Beacon, later: Beacon) -> int:
        """How far ``later`` lies from where ``earlier`` said that the phase would be."""
        if later.state is not BeaconState.PLAYING and earlier.state is not BeaconState.PLAYING:
            return 0  # the countdown follows the wall clock, which may be set at any time
        since_ns = round((later.sent_ns - earlier.sent_ns) * earlier.speed)
        return wrap_error_ns(later.phase_ns - earlier.phase_ns - since_ns, self._length_ns)

    def _convinced_by(self, beacon: Beacon, received_ns: OwnNs, fault: Reason) -> bool:
        """Whether enough beacons in a row agree with each other, this one the last."""
        if fault is Reason.LATE or self._witness is not None:
            return False
        if self._suspects and beacon.seq <= self._suspects[-1][0].seq:
            return False  # a copy by another path, or passed over: counts once or not at all
        # The first one is compared with: a burst of beacons held back agrees from one to the next.
        if self._suspects and not self._agree(*self._suspects[0], beacon, received_ns):
            self._suspects.clear()
        self._suspects.append((beacon, received_ns))
        span_ns = received_ns - self._suspects[0][1]
        return len(self._suspects) >= CONVINCED_AFTER and span_ns >= CONVINCED_NS

    def _agree(self, earlier: Beacon, at_ns: OwnNs, later: Beacon, then_ns: OwnNs) -> bool:
        sent_ns = later.sent_ns - earlier.sent_ns
        drawn_out_ns = abs((then_ns - at_ns) - sent_ns)
        steady = sent_ns > 0 and drawn_out_ns <= CONVINCED_SPREAD_NS
        return steady and abs(self._phase_step_ns(earlier, later)) <= MAX_PHASE_STEP_NS


def origin_of(beacon: Beacon) -> MasterNs:
    """The instant of phase 0 (of the loop under way) on the master's clock."""
    return MasterNs(beacon.sent_ns - round(beacon.phase_ns / beacon.speed))
