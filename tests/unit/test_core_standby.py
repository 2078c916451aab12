"""Which paths a follower wants, beat by beat; times in periods, of 50 ms unless said otherwise."""

import random
from collections.abc import Mapping, Sequence

import pytest

from unisono.core.standby import MAX_LOST, SILENT_PERIODS, STEADY_NS, Standby
from unisono.core.units import NS_PER_S, OwnNs

PERIOD_NS = 50_000_000
STEADY_PERIODS = STEADY_NS // PERIOD_NS
ALL = (("udp", False), ("udp-unicast", True), ("tcp", True))
UNICAST = frozenset({"udp-unicast", "tcp"})


class Beats:
    """A master's beats, by the paths that let them through at that moment."""

    def __init__(self, paths: Sequence[tuple[str, bool]] = ALL, period_ns: int = PERIOD_NS) -> None:
        self.standby = Standby(paths, period_ns)
        self.period_ns = period_ns
        self.paths = dict(paths)
        self.number = 0
        self.again_ns: OwnNs | None = None
        self.standby.look(OwnNs(0))

    @property
    def now_ns(self) -> OwnNs:
        return OwnNs(self.number * self.period_ns)

    def play(self, count: int, *, dead: Sequence[str] = ()) -> Mapping[str, int]:
        """Beats; a path on demand carries one only if it was wanted before it. Heard by path."""
        heard = dict.fromkeys(self.paths, 0)
        for _ in range(count):
            self._wait_for_the_next()
            for name, on_demand in self.paths.items():
                if name in dead or (on_demand and name not in self.standby.wanted):
                    continue
                heard[name] += 1
                self.standby.heard(name, self.number, self.now_ns)
            self.again_ns = self.standby.look(self.now_ns)
        return heard

    def seconds_until_left_alone(self) -> float:
        """Beats without a loss, until no path on demand is wanted."""
        began_ns = self.now_ns
        while self.standby.wanted:
            self.play(1)
        return (self.now_ns - began_ns) / NS_PER_S

    def _wait_for_the_next(self) -> None:
        due_ns = OwnNs((self.number + 1) * self.period_ns)
        while self.again_ns is not None and self.again_ns < due_ns:
            self.again_ns = self.standby.look(self.again_ns)
        self.number += 1


def test_everything_is_wanted_at_first_and_unicast_no_more_once_multicast_is_steady() -> None:
    beats = Beats()
    assert beats.standby.wanted == UNICAST
    beats.play(STEADY_PERIODS)
    assert beats.standby.wanted == UNICAST
    beats.play(1)
    assert beats.standby.wanted == frozenset()
    assert beats.play(200)["tcp"] == 0


def test_multicast_that_falls_silent_costs_one_beat_and_comes_back_into_use() -> None:
    beats = Beats()
    beats.play(100)
    assert beats.play(2, dead=["udp"]) == {"udp": 0, "udp-unicast": 1, "tcp": 1}
    heard = beats.play(100, dead=["udp"])
    assert heard["udp-unicast"] == 100
    assert heard["tcp"] < STEADY_PERIODS + 2, "the cheaper of the two is enough"
    beats.play(STEADY_PERIODS + 2)
    assert beats.standby.wanted == frozenset()


def test_when_all_datagrams_are_blocked_the_stream_carries_on() -> None:
    beats = Beats()
    beats.play(100)
    heard = beats.play(100, dead=["udp", "udp-unicast"])
    assert heard == {"udp": 0, "udp-unicast": 0, "tcp": 99}


def test_a_path_that_loses_often_is_never_steady_and_its_losses_are_counted() -> None:
    beats = Beats()
    for _ in range(20):
        beats.play(19)
        beats.play(1, dead=["udp"])
    beats.play(1)
    assert "udp-unicast" in beats.standby.wanted
    assert beats.standby.lost["udp"] == 20
    assert beats.standby.copies["udp"] == 381


@pytest.mark.parametrize("rate_hz", [1, 20, 50])
@pytest.mark.parametrize("seed", range(3))
def test_two_percent_of_loss_make_few_switches_a_minute(rate_hz: int, seed: int) -> None:
    beats, rng = Beats(period_ns=NS_PER_S // rate_hz), random.Random(seed)
    minutes, switches, before = 10, 0, beats.standby.wanted
    for _ in range(minutes * 60 * rate_hz):
        beats.play(1, dead=[name for name in ("udp", "udp-unicast") if rng.random() < 0.02])
        switches += beats.standby.wanted != before
        before = beats.standby.wanted
    assert switches <= 4 * minutes


def test_each_gap_doubles_the_quiet_that_is_asked_for_up_to_half_a_minute() -> None:
    beats = Beats()
    beats.play(100)
    found = []
    for _ in range(7):
        beats.play(1, dead=["udp"])
        beats.play(1)
        assert "udp-unicast" in beats.standby.wanted
        found.append(round(beats.seconds_until_left_alone()))
    assert found == [2, 4, 8, 16, 32, 32, 32]


def test_what_is_missed_before_a_path_was_ever_steady_counts_for_nothing() -> None:
    beats = Beats()
    for _ in range(20):
        beats.play(5)
        beats.play(1, dead=["udp"])
    beats.play(1)
    assert round(beats.seconds_until_left_alone()) == 2


def test_gaps_are_forgotten_after_a_long_time_without_one() -> None:
    beats = Beats()
    for quiet_s in (2, 2, 4):
        beats.play(quiet_s * NS_PER_S // PERIOD_NS + 2)
        beats.play(1, dead=["udp"])
    beats.play(1)
    assert round(beats.seconds_until_left_alone()) == 8
    beats.play((4 * 8 + 4 * 4 + 4 * 2) * NS_PER_S // PERIOD_NS)
    beats.play(1, dead=["udp"])
    beats.play(1)
    assert round(beats.seconds_until_left_alone()) == 2


@pytest.mark.parametrize(("rate_hz", "missed"), [(1, 1), (20, 1), (28, 1), (50, 3)])
def test_silence_costs_one_beat_or_at_fast_rates_sixty_ms(rate_hz: int, missed: int) -> None:
    beats = Beats(period_ns=NS_PER_S // rate_hz)
    beats.play(3 * rate_hz)
    assert beats.standby.wanted == frozenset()
    assert beats.play(10, dead=["udp"])["udp-unicast"] == 10 - missed


def test_at_fast_rates_two_beats_that_wifi_held_up_make_nobody_ask() -> None:
    beats = Beats(period_ns=NS_PER_S // 50)
    beats.play(150)
    for _ in range(20):
        assert beats.play(2, dead=["udp"])["tcp"] == 0
        assert beats.play(8)["tcp"] == 0


def test_what_is_not_wanted_is_not_lost() -> None:
    beats = Beats()
    beats.play(100)
    beats.play(100, dead=["udp"])
    assert beats.standby.lost["udp-unicast"] == 0
    assert beats.standby.lost["tcp"] == 0


def test_a_path_alone_is_always_wanted_and_nothing_has_to_be_looked_at() -> None:
    beats = Beats([("tcp", True)])
    beats.play(100)
    assert beats.standby.wanted == {"tcp"}
    beats.play(100, dead=["tcp"])
    assert beats.standby.wanted == {"tcp"}


def test_a_repetition_is_no_sign_of_life() -> None:
    beats = Beats()
    beats.play(100)
    at_ns = OwnNs(beats.now_ns + round(SILENT_PERIODS * PERIOD_NS) - 1)
    copies = beats.standby.copies["udp"]
    assert not beats.standby.heard("udp", beats.number, at_ns)
    assert beats.standby.copies["udp"] == copies, "nor does it make up for a loss"
    beats.standby.look(OwnNs(at_ns + 2))
    assert beats.standby.wanted == UNICAST


def test_another_master_is_asked_on_all_paths_and_its_numbers_are_no_loss() -> None:
    beats = Beats()
    beats.play(100)
    beats.standby.begin()
    beats.standby.look(beats.now_ns)
    assert beats.standby.wanted == UNICAST
    beats.number += 5_000
    beats.play(1)
    assert beats.standby.lost["udp"] == 0


def test_the_gaps_of_one_master_are_not_held_against_another() -> None:
    beats = Beats()
    for _ in range(5):
        beats.play(1)
        beats.play(1, dead=["udp"])
    beats.standby.begin()
    beats.play(1)
    assert round(beats.seconds_until_left_alone()) == 2


def test_a_master_that_was_started_again_has_lost_nothing() -> None:
    beats = Beats()
    beats.play(100)
    beats.standby.heard("udp", beats.number + MAX_LOST + 1, beats.now_ns)
    assert beats.standby.lost["udp"] == 0
