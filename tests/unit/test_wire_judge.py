"""Which beacons count: a master's beat, and everything that can happen to it."""

from dataclasses import replace

import pytest

from unisono.core.units import NS_PER_MS, NS_PER_S, MasterNs, OwnNs
from unisono.wire import Beacon, BeaconJudge, BeaconState, Reason, Verdict, first_seq
from unisono.wire.judge import CONVINCED_AFTER, MAX_WITNESS_RTT_NS, RESTART_GAP, origin_of

LENGTH_NS = 10 * NS_PER_S
PERIOD_NS = 50 * NS_PER_MS
# The two clocks: what the follower reads when the master's reads 0, and the path's least delay.
APART_NS = 1_000 * NS_PER_S
DELAY_NS = NS_PER_MS


def beat(number: int, *, since_ns: int = 0) -> Beacon:
    """The master's beacon ``number``; its film began at ``since_ns`` of its clock."""
    sent_ns = 100 * NS_PER_S + number * PERIOD_NS
    return Beacon(
        session_id="s",
        term=1,
        master_device_id="m",
        clock_id=b"boot one",
        seq=1_000 + number,
        sent_ns=MasterNs(sent_ns),
        phase_ns=(sent_ns - since_ns) % LENGTH_NS,
        speed=1.0,
        state=BeaconState.PLAYING,
        playlist=bytes(8),
    )


def arrival(beacon: Beacon, late_ns: int = 0) -> OwnNs:
    return OwnNs(beacon.sent_ns + APART_NS + DELAY_NS + late_ns)


def judge_of(*numbers: int) -> BeaconJudge:
    """A judge that has accepted these beacons."""
    judge = BeaconJudge(LENGTH_NS, lowest_term=1)
    for number in numbers:
        assert judge.judge(beat(number), arrival(beat(number))).refused is None
    return judge


def give(judge: BeaconJudge, beacon: Beacon, late_ns: int = 0) -> Verdict:
    return judge.judge(beacon, arrival(beacon, late_ns))


def probe(judge: BeaconJudge, number: int, *, slept_ns: int = 0, rtt_ns: int = DELAY_NS) -> bool:
    """Let a probe sent with a beat tell the clock of a master that slept; whether it is another."""
    beacon = beat(number)
    own_ns = OwnNs(beacon.sent_ns + APART_NS + slept_ns)
    judge.witness(beacon.sent_ns, own_ns, rtt_ns=rtt_ns)
    return judge.is_other_clock(beacon.sent_ns, own_ns, doubt_ns=abs(rtt_ns))


def test_a_steady_beat_counts_over_many_loops() -> None:
    judge = judge_of(0)
    for number in range(1, 500):
        assert give(judge, beat(number)) == Verdict()


def test_gaps_are_lost_beacons_unless_so_wide_that_it_is_a_restart() -> None:
    judge = judge_of(0)
    assert give(judge, beat(4)).lost == 3
    again = replace(beat(5), seq=beat(4).seq + RESTART_GAP)
    assert give(judge, again).lost == 0


@pytest.mark.parametrize(
    ("beacon", "reason"),
    [
        (beat(3), Reason.DUPLICATE),
        (beat(2), Reason.LATE),  # never seen, but a newer one was
        (replace(beat(4), term=0), Reason.OLD_TERM),
        (replace(beat(4), master_device_id="other"), Reason.WRONG_MASTER),
        (replace(beat(4), phase_ns=beat(4).phase_ns + 6 * NS_PER_MS), Reason.PHASE_JUMP),
        (replace(beat(4), sent_ns=beat(3).sent_ns), Reason.CLOCK_JUMP),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(beacon: Beacon, reason: Reason) -> None:
    judge = judge_of(0, 1, 3)
    assert judge.judge(beacon, arrival(beat(4))).refused is reason
    assert give(judge, beat(5)) == Verdict(lost=1)


def test_an_old_term_is_refused_from_the_first_beacon_on() -> None:
    judge = BeaconJudge(LENGTH_NS, lowest_term=2)
    assert give(judge, beat(0)).refused is Reason.OLD_TERM
    assert give(judge, replace(beat(1), term=2)).new_term


def test_a_higher_term_starts_anew_and_closes_the_door_behind() -> None:
    judge = judge_of(0, 1, 2)
    other_clock = replace(
        beat(0), term=2, master_device_id="n", seq=1, sent_ns=MasterNs(5), phase_ns=7
    )
    assert give(judge, other_clock) == Verdict(new_term=True)
    assert give(judge, beat(3)).refused is Reason.OLD_TERM


@pytest.mark.parametrize(
    ("back_ns", "new_clock"), [(0, False), (90 * NS_PER_S, True), (-90 * NS_PER_S, True)]
)
def test_a_term_that_the_same_master_begins_anew_may_have_a_clock_that_was_moved(
    back_ns: int, new_clock: bool
) -> None:
    judge = judge_of(*range(20))
    beacon = replace(beat(20), term=2, seq=1, sent_ns=MasterNs(beat(20).sent_ns - back_ns))
    verdict = judge.judge(beacon, arrival(beat(20)))
    assert verdict == Verdict(new_term=True, new_clock=new_clock)


def test_a_clock_that_began_again_without_higher_numbers_is_late_until_the_next_term() -> None:
    """Nothing tells it from beacons of the past that somebody repeats: of another boot, or not."""
    judge = judge_of(*range(1_000))
    for number in range(400):
        beacon = replace(beat(number), seq=number, clock_id=b"boot two")
        assert judge.judge(beacon, arrival(beat(number + 1_500))).refused is Reason.LATE


def test_a_burst_of_beacons_held_back_is_late_to_the_last() -> None:
    judge = judge_of(*range(20))
    freed_ns = arrival(beat(90))
    for index, number in enumerate(range(20, 78)):
        at_ns = OwnNs(freed_ns + index * 8 * NS_PER_MS)  # all of them within half a second
        assert judge.judge(beat(number), at_ns).refused is Reason.LATE
    assert judge.judge(beat(110), arrival(beat(110))).refused is None


def test_a_short_delay_is_no_reason_to_refuse() -> None:
    judge = judge_of(*range(20))
    assert give(judge, beat(20), late_ns=400 * NS_PER_MS) == Verdict()


@pytest.mark.parametrize("back_ns", [90 * NS_PER_S, NS_PER_S, 0, -90 * NS_PER_S])
def test_a_clock_that_began_again_is_believed_at_once(back_ns: int) -> None:
    """Its beacons say so by another clock_id, whatever it shows and wherever the film is."""
    judge = judge_of(*range(20))

    def rebooted(number: int) -> Beacon:
        beacon = beat(number, since_ns=2 * NS_PER_S)
        sent_ns = MasterNs(beacon.sent_ns - back_ns)
        return replace(beacon, sent_ns=sent_ns, clock_id=b"boot two")

    verdict = judge.judge(rebooted(22), arrival(beat(22)))
    assert verdict == Verdict(lost=2, new_clock=True)
    assert judge.judge(rebooted(23), arrival(beat(23))) == Verdict()
    # What the first boot sent is passed over now, and does not bring its clock back.
    assert judge.judge(beat(21), arrival(beat(24))).refused is Reason.LATE
    assert judge.judge(rebooted(24), arrival(beat(24))) == Verdict()


def test_a_new_clock_of_a_new_master_is_no_news() -> None:
    judge = judge_of(*range(20))
    other = replace(beat(20), term=2, master_device_id="n", clock_id=b"boot two", seq=1)
    assert judge.judge(other, arrival(beat(20))) == Verdict(new_term=True)


def test_a_new_clock_in_a_new_term_of_the_same_master_is_told_by_its_name_alone() -> None:
    judge = judge_of(*range(20))
    again = replace(beat(20), term=2, clock_id=b"boot two", seq=1)
    assert judge.judge(again, arrival(beat(20))) == Verdict(new_term=True, new_clock=True)


@pytest.mark.parametrize("late_ms", [700, 10_000, 90_000])
def test_beacons_that_are_merely_late_convince_nobody_however_many(late_ms: int) -> None:
    judge = judge_of(*range(20))
    for number in range(20, 220):
        verdict = give(judge, beat(number), late_ns=late_ms * NS_PER_MS)
        assert verdict.refused is Reason.LATE
        assert not probe(judge, number)  # nor while the master's clock is seen to run on
    assert give(judge, beat(220 + late_ms // 50)) == Verdict(lost=200 + late_ms // 50)


def test_a_later_term_that_is_merely_late_does_not_void_a_clock() -> None:
    judge = judge_of(*range(20))
    late_ns = 700 * NS_PER_MS
    assert give(judge, replace(beat(20), term=2), late_ns) == Verdict(new_term=True)
    assert give(judge, replace(beat(21), term=2), late_ns).refused is Reason.LATE
    assert give(judge, replace(beat(50), term=2)) == Verdict(lost=29)


def test_a_clock_that_stood_still_is_believed_as_soon_as_a_probe_has_seen_it() -> None:
    judge = judge_of(*range(20))
    slept_ns = 90 * NS_PER_S
    for number in range(20, 60):
        assert give(judge, beat(number), slept_ns).refused is Reason.LATE
    assert probe(judge, 60, slept_ns=slept_ns)  # it must not move the clock alone
    assert give(judge, beat(61), slept_ns) == Verdict(lost=41, new_clock=True)
    assert not probe(judge, 62, slept_ns=slept_ns)
    assert give(judge, beat(62), slept_ns) == Verdict()


@pytest.mark.parametrize("rtt_ns", [MAX_WITNESS_RTT_NS + 1, -1])
def test_a_probe_that_was_slow_or_impossible_speaks_for_nobody(rtt_ns: int) -> None:
    judge = judge_of(*range(20))
    assert probe(judge, 20, slept_ns=90 * NS_PER_S, rtt_ns=rtt_ns)
    assert give(judge, beat(20), 90 * NS_PER_S).refused is Reason.LATE
    assert give(judge, beat(21)).refused is None


def test_a_probe_speaks_for_what_agrees_with_it_only() -> None:
    judge = judge_of(*range(20))
    probe(judge, 20, slept_ns=90 * NS_PER_S)
    assert give(judge, beat(21), 91 * NS_PER_S).refused is Reason.LATE
    for number in range(22, 60):  # of before the sleep, by a probe that came after it
        assert give(judge, beat(number)).refused is Reason.CLOCK_JUMP
    assert not probe(judge, 60)  # one broken stamp, then: the line was right
    assert give(judge, beat(60)) == Verdict(lost=40)


def test_a_recording_is_believed_by_who_knows_nothing_until_a_probe_tells() -> None:
    """Of this term, from a minute ago; the true master is heard beside it at last."""
    judge, late_ns = BeaconJudge(LENGTH_NS, lowest_term=1), 60 * NS_PER_S
    for number in range(40):
        assert give(judge, beat(number), late_ns).refused is None
    assert probe(judge, 1_240)
    assert give(judge, beat(41), late_ns).refused is Reason.LATE
    assert give(judge, beat(1_242)) == Verdict(lost=1_202, new_clock=True)
    assert give(judge, beat(43), late_ns).refused is Reason.LATE
    assert give(judge, beat(1_243)) == Verdict()


@pytest.mark.parametrize("ahead_ns", [90 * NS_PER_S, -90 * NS_PER_S])
def test_a_clock_that_no_delay_explains_convinces_after_some_beacons(ahead_ns: int) -> None:
    """It was put forward, or it went back behind what it has said."""
    judge = judge_of(*range(20))
    verdicts = []
    for number in range(20, 20 + CONVINCED_AFTER):
        moved = replace(beat(number), sent_ns=MasterNs(beat(number).sent_ns + ahead_ns))
        verdicts.append(judge.judge(moved, arrival(beat(number))))
    assert {v.refused for v in verdicts[:-1]} == {Reason.CLOCK_JUMP}
    assert verdicts[-1] == Verdict(lost=CONVINCED_AFTER - 1, new_clock=True)


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_copies_by_another_path_count_once_towards_what_convinces(behind: int) -> None:
    judge = judge_of(*range(20))
    last = 20 + CONVINCED_AFTER - 1
    for number in range(20, last):
        assert give(judge, beat(number, since_ns=NS_PER_S)).refused is Reason.PHASE_JUMP
        copy = beat(max(20, number - behind), since_ns=NS_PER_S)
        assert judge.judge(copy, arrival(beat(number))).refused is Reason.PHASE_JUMP
    assert give(judge, beat(last, since_ns=NS_PER_S)).refused is None


def test_a_timeline_that_was_set_anew_convinces_after_some_beacons() -> None:
    judge = judge_of(*range(20))
    moved = [beat(number, since_ns=2 * NS_PER_S) for number in range(20, 20 + CONVINCED_AFTER)]
    verdicts = [give(judge, beacon) for beacon in moved]
    assert {v.refused for v in verdicts[:-1]} == {Reason.PHASE_JUMP}
    assert verdicts[-1].refused is None
    assert not verdicts[-1].new_clock
    assert give(judge, beat(40, since_ns=2 * NS_PER_S)).refused is None


def test_single_strays_never_convince() -> None:
    judge = judge_of(*range(20))
    for number in range(20, 60):
        stray = beat(number, since_ns=(1 + number % 2) * NS_PER_S)
        assert give(judge, stray).refused is Reason.PHASE_JUMP


def test_long_silence_leaves_room_for_two_crystals() -> None:
    judge = judge_of(*range(5))
    hour = 3600 * NS_PER_S // PERIOD_NS
    faster_ns = 3600 * NS_PER_S * 200 // 1_000_000
    beacon = beat(hour)
    assert judge.judge(beacon, OwnNs(arrival(beacon) - faster_ns)).refused is None
    beacon = beat(2 * hour)
    assert judge.judge(beacon, OwnNs(arrival(beacon) + faster_ns)).refused is None


def test_a_countdown_may_be_corrected() -> None:
    judge = BeaconJudge(LENGTH_NS, lowest_term=1)
    for number, correction_ns in ((0, 0), (1, 0), (2, 300 * NS_PER_MS)):
        cued = replace(
            beat(number),
            state=BeaconState.CUED,
            phase_ns=-5 * NS_PER_S + number * PERIOD_NS + correction_ns,
        )
        assert give(judge, cued).refused is None


def test_numbers_of_a_later_process_are_higher_without_any_memory() -> None:
    first = first_seq(OwnNs(1_000 * NS_PER_S), 0)
    # Ten minutes at the highest rate, then a restart as quick as can be.
    reached = first + 600 * 50
    again = first_seq(OwnNs(1_600 * NS_PER_S), 0)
    assert again > reached
    assert again - reached >= RESTART_GAP
    # A restart of the whole device has a stored ceiling to stand on.
    assert first_seq(OwnNs(NS_PER_S), reached + 100) > reached


def test_the_origin_is_where_phase_0_was() -> None:
    beacon = replace(beat(0), phase_ns=-250, speed=0.5)
    assert origin_of(beacon) == beacon.sent_ns + 500
