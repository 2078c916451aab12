"""Sendspin's time filter: the published one in a process of its own, or its formulas here.

The published package needs a newer Python than ours may be, and is nothing we depend on: a
throw-away environment is made for the run. Where that cannot be, `ByFormula` stands in, written
after the description of the filter; the table says which one ran.
"""

import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.clock.candidates import Reading
from benchmarks.clock.traces import Trace
from unisono.core.samples import BeaconSample, ProbeSample

PACKAGE = "aiosendspin"
INSTALL_S = 120
CHILD = Path(__file__).with_name("sendspin_child.py")


class ByFormula:
    """A two-state Kalman filter of offset and drift, times in us.

    Half the round trip is the largest error a measurement can have, half of that its standard
    deviation. From the hundredth on, a residual of over three largest errors inflates the
    covariance fourfold; the drift carries the clock on only once it exceeds two deviations.
    """

    name = "sendspin-formula"
    drift_noise = 1e-11

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._count, self._at, self._offset, self._drift = 0, 0.0, 0.0, 0.0
        self._p00, self._p01, self._p11 = 0.0, 0.0, 0.0

    def add_beacon(self, sample: BeaconSample) -> None:
        """Not used."""

    def add_probe(self, sample: ProbeSample) -> None:
        """Predict and correct."""
        offset, largest, at = _measured(sample)
        dt, noise = at - self._at, (largest * 0.5) ** 2
        if dt <= 0:
            return
        self._at = at
        self._count += 1
        if self._count <= 2:
            if self._count == 2:
                self._drift = (offset - self._offset) / dt
                self._p11 = (self._p00 + noise) / dt**2
            self._offset, self._p00 = float(offset), noise
            return
        p11 = self._p11 + dt * self.drift_noise**2
        p01 = self._p01 + self._p11 * dt
        p00 = self._p00 + 2 * self._p01 * dt + self._p11 * dt**2
        residual = offset - (self._offset + self._drift * dt)
        if self._count > 100 and abs(residual) > 3 * largest:
            p00, p01, p11 = 4 * p00, 4 * p01, 4 * p11
        weight = 1 / max(p00 + noise, 1e-9)
        self._offset += self._drift * dt + p00 * weight * residual
        self._drift += p01 * weight * residual
        self._p00, self._p01, self._p11 = (
            p00 - p00 * weight * p00,
            p01 - p01 * weight * p00,
            p11 - p01 * weight * p01,
        )

    def read(self, now_ns: int) -> Reading:
        """States a standard deviation, which is no bound."""
        if self._count < 2:
            return None
        drift = self._drift if self._drift**2 > 4 * self._p11 else 0.0
        return round((self._offset + drift * (now_ns / 1000 - self._at)) * 1000), None


class Published:
    """The published filter, asked through pipes."""

    name = "sendspin"

    def __init__(self, python: Path) -> None:
        self._child = subprocess.Popen(
            [python, "-u", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.wait()

    def play(self, trace: Trace) -> list[Reading]:
        """What the filter says at each reading."""
        assert self._child.stdin and self._child.stdout  # noqa: S101, PT018 - pipes were asked for
        pickle.dump(_steps(trace), self._child.stdin)
        self._child.stdin.flush()
        said = pickle.load(self._child.stdout)  # noqa: S301 - of our own child
        return [None if one is None else (round(one[0] * 1000), None) for one in said]


def _measured(sample: ProbeSample) -> tuple[int, int, int]:
    """Offset, largest error and instant in us, as Sendspin's client makes them."""
    there_ns = sample.master_received_ns - sample.own_sent_ns
    back_ns = sample.master_sent_ns - sample.own_received_ns
    offset_us, largest_us = round((there_ns + back_ns) / 2000), round(sample.rtt_ns / 2000)
    return offset_us, largest_us, sample.own_received_ns // 1000


def _steps(trace: Trace) -> list[Any]:
    steps: list[tuple[int, int, Any]] = [(now, 1, now // 1000) for now in trace.reads_ns()]
    for at_ns, event in trace.events:
        if isinstance(event, ProbeSample):
            steps.append((at_ns, 0, _measured(event)))
        elif not isinstance(event, BeaconSample):
            steps.append((at_ns, 0, None))
    return [step for _, _, step in sorted(steps, key=lambda one: one[:2])]


def _pythons() -> Iterator[str]:
    """Interpreters that may be new enough, this one first."""
    if sys.version_info >= (3, 12):
        yield sys.executable
    for minor in range(12, 16):
        if found := shutil.which(f"python3.{minor}"):
            yield found
        yield from map(
            str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"), reverse=True)
        )


def _quietly(*command: str | Path) -> str:
    """What the command printed; raises where it failed."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    return done.stdout.strip()


@contextmanager
def published() -> Iterator[tuple[Published | None, str]]:
    """The published filter while it is needed, and a sentence on it; None where it cannot run."""
    with tempfile.TemporaryDirectory(prefix="unisono-bench-") as where:
        python = Path(where, "bin", "python")
        why = "no Python of 3.12 or later is here"
        for base in _pythons():
            try:
                _quietly(base, "-m", "venv", where)
                _quietly(python, "-m", "pip", "install", "-q", "--no-input", PACKAGE)
                told = "import importlib.metadata as m, aiosendspin.client.time_sync"
                version = _quietly(python, "-c", f"{told}; print(m.version('{PACKAGE}'))")
            except (subprocess.SubprocessError, OSError) as error:
                why = f"{PACKAGE} could not be installed ({type(error).__name__})"
                continue
            with Published(python) as running:
                yield running, f"sendspin: the filter of {PACKAGE} {version} itself"
            return
        yield None, f"sendspin: by its formulas, as {why}"
