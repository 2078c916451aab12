"""Scores: one candidate on one trace, and their mean over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

from benchmarks.clock.candidates import Candidate, Reading
from benchmarks.clock.traces import START_NS, Trace
from unisono.core.samples import BeaconSample, ProbeSample
from unisono.core.units import NS_PER_MS, NS_PER_S

# Errors count from here on; what is before is the time to converge.
SETTLED_S = 5.0


@dataclass(frozen=True, slots=True)
class Score:
    """Errors in ms, counted from ``SETTLED_S``; ``converged_s`` None: not within the trace."""

    mean_ms: float
    rms_ms: float
    p99_ms: float
    max_ms: float
    converged_s: float | None
    covered: float | None
    bound_ms: float | None


def play(trace: Trace, candidate: Candidate) -> list[Reading]:
    """What the candidate says at each reading."""
    readings: list[Reading] = []
    next_event = 0
    for now_ns in trace.reads_ns():
        while next_event < len(trace.events) and trace.events[next_event][0] <= now_ns:
            event = trace.events[next_event][1]
            next_event += 1
            if isinstance(event, BeaconSample):
                candidate.add_beacon(event)
            elif isinstance(event, ProbeSample):
                candidate.add_probe(event)
            else:
                candidate.reset()
        readings.append(candidate.read(now_ns))
    return readings


def score(trace: Trace, readings: Sequence[Reading]) -> Score:
    """The figures of one run; a reading that is unknown counts only for the convergence."""
    row = trace.row
    errors: list[float] = []
    covered: list[bool] = []
    bounds: list[float] = []
    late_s = row.upset_s
    unannounced = [at_s for at_s, _, told in row.steps if not told]
    until_s = min((s for s in _upsets(trace) if s > row.upset_s), default=row.seconds)
    for now_ns, reading in zip(trace.reads_ns(), readings, strict=True):
        at_s = (now_ns - START_NS) / NS_PER_S
        error_ms = None
        if reading is not None:
            error_ms = abs(reading[0] - trace.truth.at(now_ns)) / NS_PER_MS
        if row.upset_s <= at_s < until_s and (error_ms is None or error_ms > row.limit_ms):
            late_s = at_s + 0.2
        if error_ms is None or reading is None:
            continue
        if at_s >= SETTLED_S:
            errors.append(error_ms)
        if reading[1] is not None:
            bounds.append(reading[1] / NS_PER_MS)
            if not any(0 <= at_s - step_s < row.blind_s for step_s in unannounced):
                covered.append(error_ms <= bounds[-1])
    if not errors:
        return Score(nan, nan, nan, nan, None, None, None)
    errors.sort()
    return Score(
        fmean(errors),
        fmean(e * e for e in errors) ** 0.5,
        errors[int(len(errors) * 0.99)],
        errors[-1],
        late_s - row.upset_s if late_s < until_s else None,
        fmean(covered) if covered else None,
        fmean(bounds) if bounds else None,
    )


def _upsets(trace: Trace) -> list[float]:
    """When something happens that nobody can foresee."""
    row = trace.row
    return [*(s[0] for s in row.slews), *(s[0] for s in row.steps), *(p[0] for p in row.paths)]


def over_seeds(scores: Sequence[Score]) -> Score:
    """The mean of each figure, but the largest of the maxima; converged only if all did."""
    converged = [s.converged_s for s in scores if s.converged_s is not None]
    covered = [s.covered for s in scores if s.covered is not None]
    bounds = [s.bound_ms for s in scores if s.bound_ms is not None]
    return Score(
        fmean(s.mean_ms for s in scores),
        fmean(s.rms_ms**2 for s in scores) ** 0.5,
        fmean(s.p99_ms for s in scores),
        max(s.max_ms for s in scores),
        fmean(converged) if len(converged) == len(scores) else None,
        fmean(covered) if covered else None,
        fmean(bounds) if bounds else None,
    )
