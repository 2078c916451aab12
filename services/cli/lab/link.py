"""One direction of a link: what it does to a frame, and when the frame comes out. Pure, seeded.

The same link serves the switch of the lab and simulations in virtual time: the instant at which
a frame enters is an argument, the instants at which its copies leave are the answer. They are
exact; whoever delivers them adds a lateness of its own.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from unisono.core.units import ms_to_ns

# The largest figure that is taken, by unit: an hour, 10^12 bits per second, a gigabyte.
_MOST = {"share": 1, "ms": 3_600_000, "kbits": 10**9, "bytes": 10**9}
_LEAST_KBITS = 0.001  # below it a frame takes longer than any lab stands
_NS_BIT_PER_S_KBIT = 1_000_000  # bits / (kbit/s) are ms, and a ms has so many ns


class Jitter(StrEnum):
    """How the delay of one frame differs from the next one's."""

    NONE = "none"
    EXPONENTIAL = "exponential"  # of mean ``jitter_ms``, on top of the fixed delay
    NORMAL = "normal"  # of standard deviation ``jitter_ms`` around it; no delay is below nought


class Loss(StrEnum):
    """Why a frame did not come out."""

    LOST = "lost"
    QUEUE = "queue"  # too much was waiting for the rate
    BLOCKED = "blocked"  # multicast or UDP, where it is blocked
    DOWN = "down"  # the link is down, or the network is partitioned
    UNWRITABLE = "unwritable"  # the host's interface is down or gone


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What a link does; by default nothing. ValueError when the figures make no sense.

    Bursts are the two-state model of Gilbert and Elliott: each frame may enter the bad state, or
    leave it, with the shares given; in it ``burst_loss_share`` is lost. Of all frames the bad
    state meets enter / (enter + leave), for 1 / leave frames on end. Plain loss comes on top.
    """

    delay_ms: float = 0.0
    jitter: Jitter = Jitter.NONE
    jitter_ms: float = 0.0
    spike_share: float = 0.0  # of the frames, so many are held up for longer still,
    spike_max_ms: float = 0.0  # by anything up to this, all equally likely
    loss_share: float = 0.0
    burst_enter_share: float = 0.0
    burst_leave_share: float = 1.0
    burst_loss_share: float = 1.0
    duplicate_share: float = 0.0
    in_order: bool = False  # True: no frame overtakes another, so one held up holds up the rest
    rate_kbits: float = 0.0  # in 10^3 bits per second; 0 is no limit
    queue_bytes: int = 100_000  # what may wait for the rate; as much as small routers keep
    multicast_blocked: bool = False  # broadcast, on which ARP lives, passes
    udp_blocked: bool = False  # every datagram; only streams pass, and ARP
    down: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            unit = field.name.rpartition("_")[2]
            if unit not in _MOST:
                continue
            value, most = getattr(self, field.name), _MOST[unit]
            if not 0 <= value <= most:  # what is no number is not either
                what = "a share is" if unit == "share" else "use a number"
                raise ValueError(f"{field.name} is {value}: {what} from 0 to {most}")
        if 0 < self.rate_kbits < _LEAST_KBITS:
            raise ValueError(
                f"rate_kbits is {self.rate_kbits}: use {_LEAST_KBITS} or more, or 0 for no limit"
            )
        if self.jitter is Jitter.NONE and self.jitter_ms:
            raise ValueError("jitter_ms says nothing with jitter none: use exponential or normal")


CLEAR = LinkRules()


class Link:
    """One direction of a cable; ``rules`` may be replaced at any time, for the frames to come.

    Other rules are another cable: what still waits in the old one holds up nothing in the new one.
    """

    def __init__(self, rules: LinkRules, seed: int | str) -> None:
        self._rules = rules
        self.carried = 0  # copies that came out
        self.lost: Counter[Loss] = Counter()
        self._random = Random(seed)  # noqa: S311  (a lab's dice are to fall the same way again)
        self._in_burst = False
        self._free_ns = 0  # when the last bit that waits for the rate has been sent
        self._last_ns = 0  # the latest instant handed out

    @property
    def rules(self) -> LinkRules:
        """What it does to the frames that enter now."""
        return self._rules

    @rules.setter
    def rules(self, rules: LinkRules) -> None:
        if rules != self._rules:
            self._rules = rules
            self._in_burst = False
            self._free_ns = self._last_ns = 0

    def carry(
        self, now_ns: int, size_bytes: int, *, multicast: bool, udp: bool = True
    ) -> tuple[int, ...]:
        """When the copies of a frame that enters at ``now_ns`` come out; () when it is lost.

        Frames are handed in by the order of their ``now_ns``, on any clock.
        """
        rules = self.rules
        if rules == CLEAR:
            self.carried += 1
            return (now_ns,)
        if rules.down:
            return self._lose(Loss.DOWN)
        if (multicast and rules.multicast_blocked) or (udp and rules.udp_blocked):
            return self._lose(Loss.BLOCKED)
        sent_ns = self._send(now_ns, size_bytes) if rules.rate_kbits else now_ns
        if sent_ns is None:
            return self._lose(Loss.QUEUE)
        if self._dropped():
            return self._lose(Loss.LOST)
        copies = 2 if self._chance(rules.duplicate_share) else 1
        self.carried += copies
        return tuple(self._arrival_ns(sent_ns) for _ in range(copies))

    def _lose(self, reason: Loss) -> tuple[int, ...]:
        self.lost[reason] += 1
        return ()

    def _send(self, now_ns: int, size_bytes: int) -> int | None:
        """When the rate has let the whole frame through; None when the queue is full."""
        begin_ns = max(now_ns, self._free_ns)
        if begin_ns - now_ns + self._air_ns(size_bytes) > self._air_ns(self.rules.queue_bytes):
            return None
        self._free_ns = begin_ns + self._air_ns(size_bytes)
        return self._free_ns

    def _air_ns(self, size_bytes: int) -> int:
        return round(size_bytes * 8 * _NS_BIT_PER_S_KBIT / self.rules.rate_kbits)

    def _dropped(self) -> bool:
        rules = self.rules
        if self._in_burst:
            self._in_burst = not self._chance(rules.burst_leave_share)
        else:
            self._in_burst = self._chance(rules.burst_enter_share)
        in_burst = self._in_burst and self._chance(rules.burst_loss_share)
        return self._chance(rules.loss_share) or in_burst

    def _arrival_ns(self, sent_ns: int) -> int:
        rules = self.rules
        delay_ms = rules.delay_ms
        if rules.jitter is Jitter.EXPONENTIAL and rules.jitter_ms:
            delay_ms += self._random.expovariate(1 / rules.jitter_ms)
        elif rules.jitter is Jitter.NORMAL:
            delay_ms = max(0.0, self._random.gauss(delay_ms, rules.jitter_ms))
        if self._chance(rules.spike_share):
            delay_ms += self._random.uniform(0, rules.spike_max_ms)
        arrival_ns = sent_ns + ms_to_ns(delay_ms)
        if rules.in_order:
            arrival_ns = max(arrival_ns, self._last_ns)
        self._last_ns = max(arrival_ns, self._last_ns)
        return arrival_ns

    def _chance(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
