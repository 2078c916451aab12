"""A counter of another process, which may start again from nought. Pure bookkeeping."""

from dataclasses import dataclass


@dataclass(slots=True)
class Grown:
    """What such a counter has counted over all its lives."""

    total: float = 0.0
    _last: float = 0.0

    def see(self, value: float) -> float:
        """Take the counter's value now; returns what it has grown by, which is never negative.

        A value lower than the one before means that its process started again: all that it has
        counted since then is new.
        """
        growth = value - self._last if value >= self._last else max(value, 0.0)
        self._last = value
        self.total += growth
        return growth
