"""Judge of beacons: which verified beacons count, by term, seq, age, clock and phase. Pure.

A beacon fits when it lies on the line that the accepted ones before it drew: the sender's
clock moves as ours does, the phase moves with the sender's clock. One that does not fit is
refused. But what has really changed must not be refused for ever. A clock that began again (the
master's device was started again) has another name, ``clock_id``: that is believed at once. What
moves under the same name (its machine slept, its timeline was set anew) has to convince: beacons
that contradict the past and agree among themselves, ``CONVINCED_AFTER`` in a row over
``CONVINCED_NS``, become the new line.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from unisono.core.timeline import wrap_error_ns
from unisono.core.units import NS_PER_MS, NS_PER_S, MasterNs, OwnNs, scale_ppb
from unisono.wire.beacon import MAX_SEQ, Beacon, BeaconState
from unisono.wire.refusal import Reason

# A beacon held back longer than the fastest one by this much says nothing new about time.
MAX_HELD_BACK_NS: Final = 500 * NS_PER_MS
# No path delivers a beacon that much sooner than the fastest one before: the clock was moved.
MAX_SOONER_NS: Final = 500 * NS_PER_MS
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


class BeaconJudge:
    """Judges the beacons of one session in the order of their arrival.

    ``length_ns`` is the playlist's length, at which phases wrap.
    """

    def __init__(self, length_ns: int, lowest_term: int) -> None:
        self._length_ns = length_ns
        self._lowest_term = lowest_term
        self._newest: Beacon | None = None
        self._seen: deque[int] = deque(maxlen=SEEN_WINDOW)
        self._lead_ns = 0  # sender's clock minus ours, of the fastest beacon
        self._lead_at_ns = 0
        self._suspects: list[tuple[Beacon, OwnNs]] = []

    def judge(self, beacon: Beacon, received_ns: OwnNs) -> Verdict:
        """Decide on one beacon, and learn from it when it counts."""
        newest = self._newest
        if beacon.term >= self._lowest_term and (newest is None or beacon.term > newest.term):
            known = newest is not None and beacon.master_device_id == newest.master_device_id
            new_clock = known and self._has_new_clock(beacon, received_ns)
            self._accept(beacon, received_ns, fresh=True)
            return Verdict(new_term=True, new_clock=new_clock)
        if newest is None:
            return Verdict(Reason.OLD_TERM)
        if (disorder := self._disorder(beacon, newest)) is not None:
            return Verdict(disorder)
        gap = beacon.seq - newest.seq
        lost = gap - 1 if gap < RESTART_GAP else 0
        if beacon.clock_id == newest.clock_id:
            contradiction = self._contradiction(beacon, received_ns, newest)
            if contradiction is None:
                self._accept(beacon, received_ns, fresh=False)
                return Verdict(lost=lost)
            if not self._convinced_by(beacon, received_ns):
                return Verdict(contradiction)
        new_clock = self._has_new_clock(beacon, received_ns)
        self._accept(beacon, received_ns, fresh=True)
        return Verdict(lost=lost, new_clock=new_clock)

    def is_other_clock(self, master_ns: MasterNs, own_ns: OwnNs, *, doubt_ns: int) -> bool:
        """Whether ``master_ns``, read at ``own_ns`` (± ``doubt_ns``), is of another clock than
        the accepted beacons: what a probe, which names no clock, says of it must wait for beacons.
        """
        if self._newest is None:
            return False
        leeway_ns = scale_ppb(max(0, own_ns - self._lead_at_ns), FORGET_PPB)
        apart_ns = abs((master_ns - own_ns) - self._lead_ns)
        return apart_ns > MAX_SOONER_NS + doubt_ns + leeway_ns

    def _has_new_clock(self, beacon: Beacon, received_ns: OwnNs) -> bool:
        """Whether the clock of the sender, known already, has another name or was moved."""
        renamed = self._newest is not None and beacon.clock_id != self._newest.clock_id
        return renamed or self.is_other_clock(beacon.sent_ns, received_ns, doubt_ns=0)

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
        lead_ns = beacon.sent_ns - received_ns
        if fresh:
            self._lead_ns = lead_ns
        else:
            self._lead_ns = max(self._remembered_lead_ns(received_ns), lead_ns)
        if self._newest is not None and beacon.term > self._newest.term:
            self._seen.clear()
        self._lead_at_ns = received_ns
        self._lowest_term = beacon.term
        self._newest = beacon
        self._seen.append(beacon.seq)
        self._suspects.clear()

    def _remembered_lead_ns(self, at_ns: OwnNs) -> int:
        return self._lead_ns - scale_ppb(at_ns - self._lead_at_ns, FORGET_PPB)

    def _contradiction(self, beacon: Beacon, received_ns: OwnNs, newest: Beacon) -> Reason | None:
        """The first way in which ``beacon`` does not lie on the line, if any."""
        # What two crystals can differ by since the last accepted beacon is no contradiction.
        silence_ns = received_ns - self._lead_at_ns
        leeway_ns = scale_ppb(max(0, silence_ns), FORGET_PPB)
        sooner_ns = (beacon.sent_ns - received_ns) - self._lead_ns
        if sooner_ns < -MAX_HELD_BACK_NS - leeway_ns:
            # Minutes are no delay of a network: the sender's clock stood still, as in a sleep.
            jumped = sooner_ns < -60 * NS_PER_S
            return Reason.CLOCK_JUMP if jumped else Reason.LATE
        if sooner_ns > MAX_SOONER_NS + leeway_ns or beacon.sent_ns <= newest.sent_ns:
            return Reason.CLOCK_JUMP
        if abs(self._phase_step_ns(newest, beacon)) > MAX_PHASE_STEP_NS:
            return Reason.PHASE_JUMP
        return None

    def _phase_step_ns(self, earlier: Beacon, later: Beacon) -> int:
        """How far ``later`` lies from where ``earlier`` said that the phase would be."""
        if later.state is not BeaconState.PLAYING and earlier.state is not BeaconState.PLAYING:
            return 0  # the countdown follows the wall clock, which may be set at any time
        since_ns = round((later.sent_ns - earlier.sent_ns) * earlier.speed)
        return wrap_error_ns(later.phase_ns - earlier.phase_ns - since_ns, self._length_ns)

    def _convinced_by(self, beacon: Beacon, received_ns: OwnNs) -> bool:
        """Whether enough beacons in a row agree with each other, this one the last."""
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
        rising = later.seq > earlier.seq
        return steady and rising and abs(self._phase_step_ns(earlier, later)) <= MAX_PHASE_STEP_NS


def origin_of(beacon: Beacon) -> MasterNs:
    """The instant of phase 0 (of the loop under way) on the master's clock."""
    return MasterNs(beacon.sent_ns - round(beacon.phase_ns / beacon.speed))
