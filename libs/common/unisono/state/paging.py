"""Pages of logs, newest first: none of their entries is lost between two pages, or given twice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

Entry = tuple[int, bytes]
PATTERN = r"^[0-9]{1,16}\.[0-9]{1,6}$"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins: at that time, of which so many entries were given already."""

    at_ms: int
    given: int

    def __str__(self) -> str:
        """What a caller is given, and brings back."""
        return f"{self.at_ms}.{self.given}"

    @classmethod
    def of(cls, text: str) -> "Cursor":
        """The cursor of that text. ValueError when it is none."""
        if not re.fullmatch(PATTERN, text):
            raise ValueError(f"{text} is no cursor")
        at_ms, _, given = text.partition(".")
        return cls(int(at_ms), int(given))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page, and where the next one begins (None: there is no more)."""

    items: list[T]
    next: Cursor | None


def to_read(cursor: Cursor | None, limit: int) -> int:
    """How many entries, from the cursor's time back, a page takes; one more tells of the next."""
    return limit + 1 + (0 if cursor is None else cursor.given)


def page_of(logs: Sequence[Sequence[Entry]], cursor: Cursor | None, limit: int) -> Page[Entry]:
    """The page of one or more logs together.

    ``logs`` are the newest `to_read` entries of each from the cursor's time back.
    """
    found = sorted((entry for log in logs for entry in log), reverse=True)
    if cursor is not None:
        same = sum(at_ms == cursor.at_ms for at_ms, _ in found)
        found = found[min(same, cursor.given) :]
    page = found[:limit]
    if len(found) <= limit or not page:
        return Page(page, None)
    last_ms = page[-1][0]
    given = sum(at_ms == last_ms for at_ms, _ in page)
    if cursor is not None and cursor.at_ms == last_ms:
        given += cursor.given
    return Page(page, Cursor(last_ms, given))
