"""`unisono flags`: the tables of flags and settings as the page docs/flags.md."""

import argparse
from collections.abc import Iterator
from typing import Any

from unisono.config.flags import PREFIX as FLAG_PREFIX
from unisono.config.flags import Flags
from unisono.config.settings import PREFIX as SETTING_PREFIX
from unisono.config.settings import Settings
from unisono.config.table import Row, rows

_INTRO = """# Flags and settings

Written by `make docs` from `libs/common/unisono/config/`: do not edit.

## Flags: what a site may switch

Environment variables of a device's processes; the control plane's values for the site, sent with
a session, are laid over them. With none set a device behaves as before the LAN: cloud only.
"""

_SETTINGS = """
## Settings: who a device is and where its parts listen
"""


def run(_arguments: argparse.Namespace) -> int:
    """Print the page."""
    print(page(), end="")
    return 0


def page() -> str:
    """The whole page, markdown."""
    parts = [_INTRO, *_table(Flags, FLAG_PREFIX), _SETTINGS, *_table(Settings, SETTING_PREFIX)]
    return "\n".join(parts) + "\n"


def _table(table: type[Any], prefix: str) -> Iterator[str]:
    yield "| name | default | unit | may be | meaning |"
    yield "|---|---|---|---|---|"
    for row in rows(table, prefix):
        cells = (
            f"`{row.name}`",
            _default(row),
            row.unit,
            _range(row),
            row.meaning.replace("|", "\\|"),
        )
        yield "| " + " | ".join(cells) + " |"


def _default(row: Row) -> str:
    if row.kind is bool:
        return "1" if row.default else "0"
    return f"{row.default:g}" if isinstance(row.default, float) else str(row.default)


def _range(row: Row) -> str:
    if row.kind is bool:
        return "0, 1"
    if row.choices:
        return ", ".join(row.choices)
    if row.low is not None and row.high is not None:
        return f"{row.low:g} to {row.high:g}"
    return ""
