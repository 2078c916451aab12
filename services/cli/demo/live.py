"""The live table in a terminal; plain lines now and then where there is no terminal."""

import logging
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.demo.tally import DeviceTally
from unisono.core.summary import IN_UNISON_MS
from unisono.core.units import ns_to_ms

PERIOD_S = 0.5  # how often to call `Screen.show`
LINES_PERIOD_S = 5.0
_COLUMNS = (
    *("device", "role", "mode", "now ms", "mean", "p95", "max"),
    *("speed", "seeks", "beacons", "bound ms", "path"),
)
# The last column is left out of a narrower terminal's table, rather than break the others' words.
_ALL_COLUMNS_WIDTH = 120


class Screen:
    """Shows tallies until closed: a table that is drawn anew, or lines that are added."""

    def __init__(self, notes: Sequence[str], output: TextIO = sys.stdout) -> None:
        self._console = Console(file=output)
        self._notes = notes
        self._live: Live | None = None
        self._log = _ToScreen(self)
        self._said = ("", float("-inf"))  # last line of totals, up to its figures; and when

    def __enter__(self) -> "Screen":
        logging.getLogger("services").addHandler(self._log)
        logging.getLogger("services").propagate = False
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        else:
            self.say(*self._notes)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("services").removeHandler(self._log)
        logging.getLogger("services").propagate = True
        if self._live is not None:
            self._live.stop()

    def say(self, *lines: str) -> None:
        """Print lines (above the table)."""
        for line in lines:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, tallies: Sequence[DeviceTally], *, now_s: float, status: str) -> None:
        """Draw the present state; without a terminal only when it changed, or now and then."""
        if self._live is None:
            news = " | ".join(totals(tallies, now_s, status).split(" | ")[:2])
            if self._said[0] == news and now_s - self._said[1] < LINES_PERIOD_S:
                return
            self._said = (news, now_s)
            rows = [" ".join(f"{n}={v}" for n, v in zip(_COLUMNS, row(t, now_s), strict=True) if v)
                    for t in tallies]  # fmt: skip
            self.say(*rows, totals(tallies, now_s, status))
            return
        shown = len(_COLUMNS) - (self._console.width < _ALL_COLUMNS_WIDTH)
        table = Table(*_COLUMNS[:shown])
        for tally in tallies:
            table.add_row(*row(tally, now_s)[:shown], style=None if tally.now(now_s) else "dim")
        lines = [Text(totals(tallies, now_s, status), style="bold"), *map(Text, self._notes)]
        self._live.update(Group(table, *lines), refresh=True)


class _ToScreen(logging.Handler):
    """Puts what is logged above the table instead of through it."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        self._screen.say(record.getMessage())


def row(tally: DeviceTally, now_s: float) -> list[str]:
    """The cells of one device, in the order of the columns; empty where nothing is known."""
    sample, drift, link = tally.now(now_s), tally.summary(), tally.link
    if sample is None:
        return [tally.device_id] + [""] * (len(_COLUMNS) - 1)
    heard = tally.sent if sample.role == "master" else tally.received
    return [
        tally.device_id,
        sample.role.value,
        sample.mode.value,
        _ms(None if sample.drift_ns is None else ns_to_ms(sample.drift_ns), signed=True),
        _ms(drift.mean, signed=True),
        _ms(drift.p95),
        _ms(drift.max),
        f"{sample.speed:.4f}",
        f"{tally.seeks.total:.0f}",
        f"{heard.total:.0f}" if link else "",
        _ms(None if sample.bound_ns is None else ns_to_ms(sample.bound_ns)),
        tally.path,
    ]


def totals(tallies: Sequence[DeviceTally], now_s: float, status: str) -> str:
    """One line for all devices."""
    in_lan = sum(tally.mode(now_s) == "lan" for tally in tallies)
    ratios = [r for t in tallies if (r := t.within_50ms_ratio()) is not None]
    spread = [s.drift_ns for t in tallies if (s := t.now(now_s)) and s.drift_ns is not None]
    parts = [status, f"{in_lan} of {len(tallies)} in lan mode"]
    if lost := sum(tally.cloud_lost for tally in tallies):
        parts.append(f"cloud: {lost} of {len(tallies)} devices cannot reach it")
    if len(spread) > 1:
        parts.append(f"spread now {ns_to_ms(max(spread) - min(spread)):.2f} ms")
    if ratios:
        parts.append(f"within {IN_UNISON_MS:g} ms {min(ratios):.1%} of the time at least")
    faults = [f"{t.device_id}: {s.fault}" for t in tallies if (s := t.now(now_s)) and s.fault]
    return " | ".join([*parts, *faults])


def _ms(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.2f}" if signed else f"{value:.2f}"
