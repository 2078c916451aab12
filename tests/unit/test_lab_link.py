"""A link does what its rules say: means, shares, order and rate, each against its formula."""

import itertools
import math
import statistics
from collections.abc import Iterator

import pytest

from services.cli.lab.link import Jitter, Link, LinkRules, Loss

MS = 1_000_000
FRAMES = 20_000


def delays_ms(rules: LinkRules, seed: int, frames: int = FRAMES) -> Iterator[float]:
    """Delay of each frame that comes out, one entering every ms."""
    link = Link(rules, seed)
    for number in range(frames):
        for due_ns in link.carry(number * MS, 100, multicast=False):
            yield (due_ns - number * MS) / MS


def within(share: float, expected: float, frames: int = FRAMES) -> bool:
    """Five standard deviations of a binomial share: one seed in two million fails by chance."""
    return abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / frames)


def test_without_rules_a_frame_is_out_as_it_enters() -> None:
    link = Link(LinkRules(), 1)
    assert link.carry(5, 1500, multicast=True) == (5,)
    assert (link.carried, sum(link.lost.values())) == (1, 0)


def test_the_same_seed_throws_the_same_dice_and_another_does_not() -> None:
    rules = LinkRules(jitter=Jitter.EXPONENTIAL, jitter_ms=5, loss_share=0.1, spike_share=0.1)
    first, again, other = (list(delays_ms(rules, seed, 200)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("seed", [1, 2])
def test_exponential_delay_has_its_mean_its_median_and_its_floor(seed: int) -> None:
    rules = LinkRules(delay_ms=2, jitter=Jitter.EXPONENTIAL, jitter_ms=5)
    found = list(delays_ms(rules, seed))
    assert min(found) >= 2
    assert statistics.mean(found) == pytest.approx(7, abs=5 * 5 / math.sqrt(FRAMES))
    assert statistics.median(found) == pytest.approx(2 + 5 * math.log(2), abs=0.2)


@pytest.mark.parametrize("seed", [1, 2])
def test_normal_delay_has_its_mean_and_deviation_and_is_never_negative(seed: int) -> None:
    found = list(delays_ms(LinkRules(delay_ms=40, jitter=Jitter.NORMAL, jitter_ms=8), seed))
    assert statistics.mean(found) == pytest.approx(40, abs=0.3)
    assert statistics.stdev(found) == pytest.approx(8, rel=0.03)
    wide = list(delays_ms(LinkRules(delay_ms=1, jitter=Jitter.NORMAL, jitter_ms=8), seed))
    assert min(wide) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_spikes_are_as_frequent_and_as_long_as_stated(seed: int) -> None:
    found = list(delays_ms(LinkRules(delay_ms=1, spike_share=0.05, spike_max_ms=100), seed))
    spikes = [delay for delay in found if delay > 1]
    assert within(len(spikes) / FRAMES, 0.05)
    assert 95 < max(spikes) <= 101
    assert statistics.mean(spikes) == pytest.approx(51, abs=5)


@pytest.mark.parametrize("seed", [1, 2])
def test_losses_and_duplicates_have_their_shares(seed: int) -> None:
    link = Link(LinkRules(loss_share=0.2, duplicate_share=0.1), seed)
    copies = [len(link.carry(n, 100, multicast=False)) for n in range(FRAMES)]
    assert within(copies.count(0) / FRAMES, 0.2)
    assert within(copies.count(2) / FRAMES, 0.8 * 0.1)
    assert (link.carried, link.lost) == (sum(copies), {Loss.LOST: copies.count(0)})


@pytest.mark.parametrize("seed", [1, 2])
def test_bursts_of_loss_have_their_share_and_their_length(seed: int) -> None:
    enter, leave = 0.02, 0.25
    link = Link(LinkRules(burst_enter_share=enter, burst_leave_share=leave), seed)
    lost = [not link.carry(n, 100, multicast=False) for n in range(5 * FRAMES)]
    assert sum(lost) / len(lost) == pytest.approx(enter / (enter + leave), rel=0.1)
    bursts = sum(now and not before for before, now in itertools.pairwise(lost))
    assert sum(lost) / bursts == pytest.approx(1 / leave, rel=0.1)


def test_half_of_what_a_burst_meets_is_lost_when_so_asked() -> None:
    rules = LinkRules(burst_enter_share=1, burst_leave_share=0, burst_loss_share=0.5)
    assert within(len(list(delays_ms(rules, 1))) / FRAMES, 0.5)


@pytest.mark.parametrize("in_order", [True, False])
def test_frames_overtake_each_other_only_where_they_may(in_order: bool) -> None:
    rules = LinkRules(jitter=Jitter.EXPONENTIAL, jitter_ms=5, in_order=in_order)
    link = Link(rules, 1)
    due_ns = [d for n in range(1000) for d in link.carry(n * MS, 100, multicast=False)]
    assert (due_ns == sorted(due_ns)) == in_order


def test_a_rate_spaces_frames_out_and_its_queue_drops_the_rest() -> None:
    # 1000 bytes take 8 ms at 1 Mbit/s, and three of them may wait or be on their way.
    link = Link(LinkRules(rate_kbits=1000, queue_bytes=3000), 1)
    out = [link.carry(0, 1000, multicast=False) for _ in range(5)]
    assert out == [(8 * MS,), (16 * MS,), (24 * MS,), (), ()]
    assert link.lost == {Loss.QUEUE: 2}
    assert link.carry(8 * MS, 1000, multicast=False) == (32 * MS,)  # one has left the queue
    assert link.carry(100 * MS, 500, multicast=False) == (104 * MS,)


def test_multicast_alone_is_blocked_and_nothing_passes_when_down() -> None:
    link = Link(LinkRules(multicast_blocked=True), 1)
    assert link.carry(1, 100, multicast=True) == ()
    assert link.carry(1, 100, multicast=False) == (1,)
    link.rules = LinkRules(down=True)
    assert link.carry(2, 100, multicast=False) == ()
    link.rules = LinkRules(delay_ms=1)
    assert link.carry(3, 100, multicast=True) == (3 + MS,)
    assert link.lost == {Loss.BLOCKED: 1, Loss.DOWN: 1}


@pytest.mark.parametrize("in_order", [True, False])
def test_what_waited_for_a_slow_rate_holds_up_nothing_after_other_rules(in_order: bool) -> None:
    link = Link(LinkRules(rate_kbits=1, in_order=in_order), 1)
    while link.carry(0, 1000, multicast=False):
        pass
    link.rules = LinkRules(rate_kbits=1, in_order=in_order)
    assert link.carry(MS, 1000, multicast=False) == (), "the same rules are the same queue"
    link.rules = LinkRules(rate_kbits=10_000, in_order=in_order)
    assert link.carry(MS, 1250, multicast=False) == (2 * MS,)


def test_the_largest_and_the_smallest_figures_can_be_carried() -> None:
    most = LinkRules(
        delay_ms=3_600_000,
        jitter=Jitter.EXPONENTIAL,
        jitter_ms=3_600_000,
        spike_share=1,
        spike_max_ms=3_600_000,
        rate_kbits=0.001,
        queue_bytes=10**9,
    )
    assert Link(most, 1).carry(0, 1500, multicast=False)
    assert Link(LinkRules(jitter=Jitter.EXPONENTIAL, jitter_ms=5e-324), 1).carry(
        7, 1500, multicast=False
    ) == (7,)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"loss_share": 1.5}, "loss_share is 1.5: a share is from 0 to 1"),
        ({"delay_ms": -1.0}, "delay_ms is -1.0: use a number from 0 to 3600000"),
        ({"delay_ms": 1e308}, r"delay_ms is 1e\+308: use a number from 0 to 3600000"),
        ({"jitter_ms": 3_600_001, "jitter": Jitter.NORMAL}, "jitter_ms is 3600001"),
        ({"spike_max_ms": 1e300}, "spike_max_ms is"),
        ({"rate_kbits": math.inf}, "rate_kbits is inf"),
        ({"rate_kbits": 1.1e9}, "rate_kbits is 1100000000.0: use a number from 0 to 1000000000"),
        ({"rate_kbits": 1e-300}, "rate_kbits is 1e-300: use 0.001 or more, or 0 for no limit"),
        ({"queue_bytes": 10**400}, "queue_bytes is 1000"),
        ({"spike_share": math.nan}, "spike_share is nan"),
        ({"jitter_ms": 3.0}, "jitter_ms says nothing with jitter none"),
    ],
)
def test_rules_that_make_no_sense_are_refused(bad: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LinkRules(**bad)  # type: ignore[arg-type]
