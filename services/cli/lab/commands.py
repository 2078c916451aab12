"""What the switch can be told, one JSON object a line, and the bytes of it. Pure.

Each has the field ``do``: ``rules``, ``partition``, ``unplug``, ``plug``, ``lab``, ``statistics``.
"""

import dataclasses
from typing import Any, Final

import msgspec

from services.cli.lab.link import LinkRules

_RULES: Final = tuple(field.name for field in dataclasses.fields(LinkRules))


class CommandError(ValueError):
    """What was asked makes no sense; its text is the answer."""


class SetRules(msgspec.Struct, tag_field="do", tag="rules", forbid_unknown_fields=True):
    """New rules for one host's cable, or for all hosts'; a direction left out stays as it is."""

    host: str | None = None
    towards: dict[str, Any] | None = None
    leaving: dict[str, Any] | None = None


class SetParts(msgspec.Struct, tag_field="do", tag="partition", forbid_unknown_fields=True):
    """Hosts of one part hear each other only; those not named are a part too; [] heals."""

    parts: list[list[str]]


class Unplug(msgspec.Struct, tag_field="do", tag="unplug", forbid_unknown_fields=True):
    """Take a host's interface away, as if its USB stick was pulled."""

    host: str


class Plug(msgspec.Struct, tag_field="do", tag="plug", forbid_unknown_fields=True):
    """Make a host's interface anew; it has no address yet."""

    host: str


class TellLab(msgspec.Struct, tag_field="do", tag="lab", forbid_unknown_fields=True):
    """Ask for the names and addresses of this network."""


class TellStatistics(msgspec.Struct, tag_field="do", tag="statistics", forbid_unknown_fields=True):
    """Ask for what has passed and what has not, and for the switch's own lateness."""


Command = SetRules | SetParts | Unplug | Plug | TellLab | TellStatistics
_DECODER: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)


def decode(line: bytes) -> Command:
    """The command in ``line``; CommandError says what is wrong with it."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CommandError(str(error)) from None


def rules_from(fields: dict[str, Any]) -> LinkRules:
    """Rules from the JSON object of their fields; CommandError for one that cannot be."""
    for name in fields:
        if name not in _RULES:
            raise CommandError(f"{name}: there is no such rule; use {', '.join(_RULES)}")
    try:
        return msgspec.convert(fields, LinkRules)
    except msgspec.ValidationError as error:
        raise CommandError(str(error)) from None
