"""Outbox: what a device has to tell and nobody has taken over yet, in order, numbered, bounded.

The numbers rise by one with each item, so whoever receives them sees a gap where some were lost.
An outbox begins empty with its process and its name is drawn at random: a number means something
only together with that name.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from unisono.core.summary import DriftSummary

# Two hours of summaries and events of a device that the cloud does not hear.
KEEP = 512
# What is sent at once; the rest goes with the next call.
BATCH = 50


@dataclass(frozen=True, slots=True)
class Told:
    """A summary (``drift_ms`` over the ``span_ms`` that end at ``at_ms``), or an ``event``.

    ``at_ms`` is the device's wall clock.
    """

    at_ms: int
    session_id: str = ""
    term: int = 0
    mode: str = ""
    span_ms: int = 0
    drift_ms: DriftSummary | None = None
    event: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Numbered:
    """One item with its place in the outbox."""

    seq: int
    told: Told


class Outbox:
    """The items that wait; of too many the oldest go, and are counted.

    ``items`` and ``seq`` (the last number given) take up an outbox that was kept somewhere.
    """

    def __init__(
        self, queue: str, *, keep: int = KEEP, items: Iterable[Numbered] = (), seq: int = 0
    ) -> None:
        self.queue = queue
        self.lost = 0
        self._items = deque(items)
        self._seq = max([seq, *(item.seq for item in self._items)])
        self._keep = keep

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the next item will cost the oldest one."""
        return len(self._items) >= self._keep

    def put(self, told: Told) -> Numbered:
        """Add an item; it is sent until it is `delivered`."""
        self._seq += 1
        item = Numbered(self._seq, told)
        self._items.append(item)
        while len(self._items) > self._keep:
            self._items.popleft()
            self.lost += 1
        return item

    def batch(self, most: int = BATCH) -> tuple[Numbered, ...]:
        """The oldest items, in order."""
        return tuple(self._items)[:most]

    def delivered(self, seq: int) -> None:
        """Forget all up to ``seq``: they have been taken over."""
        while self._items and self._items[0].seq <= seq:
            self._items.popleft()

    def give_up(self, seq: int) -> None:
        """Forget all up to ``seq``, which nobody will ever take: they count as lost."""
        before = len(self._items)
        self.delivered(seq)
        self.lost += before - len(self._items)
