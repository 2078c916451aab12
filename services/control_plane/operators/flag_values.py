"""Flags as operators write them: checked by the table of flags, kept as text."""

from collections.abc import Iterable, Mapping

from services.control_plane.errors import ApiError
from unisono.config.flags import PREFIX, Flags, load_flags
from unisono.config.table import ConfigError, rows

_ROWS = {line.name: line for line in rows(Flags, PREFIX)}

Value = bool | int | float | str


def texts_of(asked: Mapping[str, Value]) -> dict[str, str]:
    """The values as text. `ApiError` 422 names the one that is no flag or unfit."""
    check_names(asked)
    texts = {name: _text(value) for name, value in asked.items()}
    held = effective(texts)
    return {name: _plain(name, text, held) for name, text in texts.items()}


def check_names(names: Iterable[str], also: Iterable[str] = ()) -> None:
    """`ApiError` 422 unless each is a flag's name, or among ``also``."""
    unknown = next((name for name in names if name not in _ROWS and name not in also), None)
    if unknown is not None:
        # It may be any text, even one that no encoding can write.
        shown = unknown[:80].encode("ascii", "replace").decode()
        raise ApiError(422, "bad_field", f"flags: there is no flag {shown}")


def effective(texts: Mapping[str, str]) -> Flags:
    """What these values make of the defaults. `ApiError` 422 when one is unfit."""
    try:
        return load_flags(dict(texts), base=Flags())
    except ConfigError as error:
        raise ApiError(422, "bad_field", f"flags: {error}") from None


def _plain(name: str, text: str, held: Flags) -> str:
    """A switch as 1 or 0, in whatever words it was given: what is shown is what is held."""
    line = _ROWS[name]
    return str(int(getattr(held, line.field))) if line.kind is bool else text


def _text(value: Value) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
