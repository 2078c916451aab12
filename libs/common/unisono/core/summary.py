"""Statistics of drift samples: one set of figures for the report, the cloud and the benches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# What the audience does not notice, and what the product promises.
IN_UNISON_MS = 50.0


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """Drift of one device over a span of time, ms.

    ``mean`` is signed (> 0 is ahead); all the others are of |drift|. Of no samples at all every
    figure is None: no data is never a good result. Field names are those of the JSON documents.
    """

    count: int
    mean: float | None
    mean_abs: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    within_50ms_ratio: float | None


EMPTY = DriftSummary(0, None, None, None, None, None, None, None)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of a non-empty ascending sequence: always one of its values.

    ``percent`` lies in (0, 100]. It is the smallest value that at least ``percent`` % of the
    samples do not exceed.
    """
    if not ordered or not 0 < percent <= 100:
        raise ValueError("percentile needs samples, and a percent in (0, 100]")
    # Multiplied before divided: 0.95 * 20 is 19.0 only by luck, 95 * 20 / 100 is exact.
    return ordered[math.ceil(percent * len(ordered) / 100) - 1]


def summarise_ms(drifts_ms: Sequence[float]) -> DriftSummary:
    """Exact statistics of signed drifts, ms; ``EMPTY`` for none. ValueError for NaN."""
    if not drifts_ms:
        return EMPTY
    if any(math.isnan(drift) for drift in drifts_ms):
        raise ValueError("a drift is not a number")
    sizes = sorted(abs(drift) for drift in drifts_ms)
    count = len(sizes)
    return DriftSummary(
        count=count,
        mean=math.fsum(drifts_ms) / count,
        mean_abs=math.fsum(sizes) / count,
        p50=percentile(sizes, 50),
        p95=percentile(sizes, 95),
        p99=percentile(sizes, 99),
        max=sizes[-1],
        within_50ms_ratio=sum(size <= IN_UNISON_MS for size in sizes) / count,
    )
