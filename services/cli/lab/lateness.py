"""How late the switch is: its own part in every delay. Pure, in bounded memory."""

from unisono.core.units import NS_PER_US

_BINS = 20_001  # of 1 us each; what is later than 20 ms counts as that, but for the maximum


class Lateness:
    """From the instant at which a frame is due to the one at which its host has it."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self._count = 0
        self._max_ns = 0

    def add(self, late_ns: int) -> None:
        """Take one delivery."""
        self._bins[min(max(late_ns, 0) // NS_PER_US, _BINS - 1)] += 1
        self._count += 1
        self._max_ns = max(self._max_ns, late_ns)

    def figures_us(self) -> dict[str, int | None]:
        """Count, p50, p99 and maximum, in microseconds; None before the first delivery."""
        return {
            "count": self._count,
            "p50": self._quantile_us(0.50),
            "p99": self._quantile_us(0.99),
            "max": self._max_ns // NS_PER_US if self._count else None,
        }

    def _quantile_us(self, share: float) -> int | None:
        wanted, seen = share * self._count, 0
        for late_us, number in enumerate(self._bins):
            seen += number
            if number and seen >= wanted:
                return late_us
        return None
