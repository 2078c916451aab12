"""Documents as bytes: JSON of frozen dataclasses, checked when read.

What cannot be read is treated as absent, counted and logged: a damaged value must not stop a
show, and the next write mends it.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Damaged documents met by this process, by key.
damaged: Counter[str] = Counter()


def encode(document: Any) -> bytes:
    """The bytes of a frozen dataclass."""
    return msgspec.json.encode(document)


def decode(kind: type[T], body: bytes | None, where: str) -> T | None:
    """The document in ``body``; None when there is none, or none that can be read."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        damaged[where] += 1
        if damaged[where] == 1:
            _log.warning("state: %s cannot be read and is ignored: %s", where, error)
        return None


def decode_all(kind: type[T], fields: Mapping[str, bytes], where: str) -> dict[str, T]:
    """Every document of a hash that can be read."""
    found = ((name, decode(kind, body, where)) for name, body in fields.items())
    return {name: document for name, document in found if document is not None}


def number(body: bytes | None, where: str) -> int:
    """The whole number in ``body``; 0 when there is none, or none that can be read."""
    return decode(int, body, where) or 0
