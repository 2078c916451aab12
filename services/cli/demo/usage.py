"""What each process costs, read from /proc: CPU time and the most memory it held."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far and bytes resident now, of a process and all its descendants."""

    cpu_s: float
    rss_bytes: int


@dataclass(slots=True)
class Usage:
    """Cost of one named process over its lives, from the first `add` on."""

    cpu_s: float = 0.0
    rss_bytes_max: int = 0
    _last: dict[int, float] = field(default_factory=dict)

    def add(self, pid: int, reading: Reading, *, born: bool = False) -> None:
        """Take one reading of the life ``pid``; ``born``: that life began after we did."""
        self.rss_bytes_max = max(self.rss_bytes_max, reading.rss_bytes)
        if pid in self._last:
            self.cpu_s += max(0.0, reading.cpu_s - self._last[pid])
        elif born:
            self.cpu_s += reading.cpu_s
        self._last[pid] = max(reading.cpu_s, self._last.get(pid, 0.0))


def read_tree(pid: int, proc: Path = Path("/proc")) -> Reading | None:
    """The reading of ``pid`` and its descendants now; None when it is gone."""
    own = _read_one(pid, proc)
    if own is None:
        return None
    cpu_s, rss_bytes = own.cpu_s, own.rss_bytes
    for child in _children(pid, proc):
        reading = read_tree(child, proc)
        if reading is not None:
            cpu_s += reading.cpu_s
            rss_bytes += reading.rss_bytes
    return Reading(cpu_s, rss_bytes)


def _read_one(pid: int, proc: Path) -> Reading | None:
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in brackets and may hold anything: fields are counted from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    ticks = sum(
        int(fields[i]) for i in (11, 12, 13, 14)
    )  # own and reaped children's, user and system
    return Reading(ticks / _TICKS_PER_S, int(fields[21]) * _PAGE)


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    try:
        for task in (proc / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except OSError:
        pass
    return found
