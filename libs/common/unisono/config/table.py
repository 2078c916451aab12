"""Configuration as one table: a frozen dataclass whose fields carry unit, range and meaning.

The same rows feed the parser, the error messages and the documentation.
"""

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from unisono.core.errors import UserError

T = TypeVar("T")
Value = bool | int | float | str

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class ConfigError(UserError):
    """A setting that cannot be used; the message says which, why, and what would do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, as documentation shows it."""

    name: str
    field: str
    kind: type
    default: Value
    unit: str
    meaning: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    several: tuple[str, ...]


def row(
    default: Value,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    several: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its documentation and its allowed range.

    Those of ``choices`` that are in ``several`` may stand together, with commas between.
    """
    metadata: dict[str, object] = {"meaning": meaning, "unit": unit, "low": low, "high": high}
    metadata |= {"choices": choices, "several": several}
    return dataclasses.field(default=default, metadata=metadata)


def rows(table: type[Any], prefix: str) -> Iterator[Row]:
    """Every row of ``table``, named as in the environment: ``prefix`` + FIELD."""
    kinds = typing.get_type_hints(table)
    for field in dataclasses.fields(table):
        yield Row(
            name=prefix + field.name.upper(),
            field=field.name,
            kind=kinds[field.name],
            default=field.default,  # type: ignore[arg-type]
            **field.metadata,
        )


def parse(line: Row, text: Value) -> Value:
    """The value of one row from its text (or JSON value); `ConfigError` when it is unfit."""
    value = _convert(line, text)
    if line.several and value not in line.choices:
        return _list(line, str(value))
    if line.choices and value not in line.choices:
        raise ConfigError(f"{line.name}={text}: use one of {', '.join(line.choices)}")
    if isinstance(value, str | bool):
        return value
    low, high = line.low, line.high
    within = (low is None or value >= low) and (high is None or value <= high)
    if not within or math.isnan(value):
        raise ConfigError(f"{line.name}={text}: use a value from {low:g} to {high:g} {line.unit}")
    return value


def _convert(line: Row, text: Value) -> Value:
    if line.kind is bool:
        word = str(text).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ConfigError(f"{line.name}={text}: use 1 or 0")
    if line.kind is str:
        return str(text).strip()
    try:
        return int(text) if line.kind is int else float(text)
    except ValueError:
        what = "a whole number" if line.kind is int else "a number"
        raise ConfigError(f"{line.name}={text}: use {what} {line.unit}".rstrip()) from None


def _list(line: Row, text: str) -> str:
    """The words of a list as the table orders them, each once."""
    words = {word.strip() for word in text.split(",")}
    if not words <= set(line.several):
        alone = [word for word in line.choices if word not in line.several]
        raise ConfigError(
            f"{line.name}={text}: use {' or '.join(alone)}, or some of {', '.join(line.several)} "
            "with commas between"
        )
    return ",".join(word for word in line.several if word in words)


def load(table: type[T], prefix: str, values: Mapping[str, Value], *, base: T | None = None) -> T:
    """``table`` filled from ``values``; names absent there keep ``base`` or the default."""
    changes = {
        line.field: parse(line, values[line.name])
        for line in rows(table, prefix)
        if line.name in values
    }
    start = table() if base is None else base
    return dataclasses.replace(start, **changes)  # type: ignore[type-var]
