"""Mutations that know the messages: one field at a time, signed again so that it is read."""

import random
import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack

from benchmarks.fuzz.judge import FRONT, SMALL_BYTES, VECTORS, sign_again


def _hex_texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["hex"]] if "hex" in node else []
        return own + [text for value in node.values() for text in _hex_texts(value)]
    return [text for value in node for text in _hex_texts(value)] if isinstance(node, list) else []


SEEDS: Final = tuple(sorted({bytes.fromhex(text) for text in _hex_texts(VECTORS)}))

MAX_BYTES: Final = 300
_EDGES: Final = tuple(
    sorted({max(0, 2**bits + by) for bits in (0, 5, 7, 8, 16, 31, 32, 53, 63) for by in (-1, 0, 1)})
)
_REALS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 16.0, 16.000001, 1e-6, 1e-7, 5e-324, 1e13, -1e13, 1e13 + 1),
    *(1.7e308, float("inf"), float("-inf"), float("nan"), 2.0**32, 2.0**33 + 0.5),
)
_TEXTS: Final = ("", "m", "s" * 31, "s" * 32, "ñ" * 32, "s" * 64, "s" * 65, "cued", "stopped")
_STAMPS: Final = (0, 1, -1, 3_000, 10_000, 10_001, 2**63 - 1, -(2**63))
# Where the fields of a small message begin and end.
_SMALL_FIELDS: Final = (
    *((0, 2), (2, 3), (3, 4), (4, 8), (8, 16), (16, 24), (24, 32), (32, 40)),
    *((40, 48), (48, 56), (56, 64), (64, 80)),
)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """``data`` changed in a few places, most often signed again."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        if len(data) == SMALL_BYTES and data.startswith(b"UP") and dice.random() < 0.7:
            data = _small_field(data, dice)
        elif data.startswith(FRONT) and dice.random() < 0.7:
            data = _beacon_field(data, dice)
        else:
            data = _some_bytes(data, dice)
    return sign_again(data) if dice.random() < 0.8 else data


def _some_bytes(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    kind = dice.randrange(5)
    if kind == 0:
        return data[:at] + dice.randbytes(dice.randint(1, 8)) + data[at:]
    if kind == 1:
        return data[:at] + data[at + dice.randint(1, 8) :]
    if kind == 2:
        return data[:at]
    if kind == 3:
        return (data + data[at:])[:MAX_BYTES]
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _small_field(data: bytes, dice: random.Random) -> bytes:
    begin, end = dice.choice(_SMALL_FIELDS)
    size = end - begin
    if size == 8 and dice.random() < 0.7:
        value = struct.pack(">q", dice.choice(_STAMPS))
    elif size == 1:
        value = bytes((dice.randrange(5),))
    else:
        value = dice.randbytes(size)
    return data[:begin] + value + data[end:]


def _beacon_field(data: bytes, dice: random.Random) -> bytes:
    try:
        pairs = msgpack.unpackb(
            data, raw=False, strict_map_key=False, object_pairs_hook=list, max_ext_len=0
        )
        raw = [(msgpack.packb(number), msgpack.packb(value)) for number, value in pairs]
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return _some_bytes(data, dice)
    at = dice.randrange(len(raw))
    kind = dice.randrange(12)
    if kind == 0:
        del raw[at]
    elif kind == 1:
        raw.insert(at, raw[dice.randrange(len(raw))])
    elif kind == 2:
        other = dice.randrange(len(raw))
        raw[at], raw[other] = raw[other], raw[at]
    else:
        raw[at] = (raw[at][0], _alike(pairs[at][1], dice))
    # The head keeps its count now and then, right or wrong.
    head = bytes((0x80 | min(len(raw), 15),)) if dice.random() < 0.5 else data[:1]
    return head + b"".join(number + value for number, value in raw)


def _alike(value: Any, dice: random.Random) -> bytes:
    """Another value, mostly of the same type, in the canonical encoding or in another one."""
    if dice.random() < 0.1:
        return dice.choice(_STRANGE)(dice)
    if isinstance(value, bool) or not isinstance(value, int | float | str | bytes):
        return bytes(msgpack.packb(value))
    if isinstance(value, int):
        number = dice.choice(
            (dice.choice(_EDGES), value + dice.randint(0, 3), dice.getrandbits(40))
        )
        longer = b"\xcf" + struct.pack(">Q", number % 2**64)
        return longer if dice.random() < 0.1 else bytes(msgpack.packb(number % 2**64))
    if isinstance(value, float):
        near = (value + dice.uniform(-1, 1), dice.randint(-(2**53), 2**53) / 1e6)
        real = dice.choice((dice.choice(_REALS), *near))
        return bytes(msgpack.packb(real, use_single_float=dice.random() < 0.1 and abs(real) < 1e30))
    if isinstance(value, str):
        text = dice.choice(_TEXTS)
        return _str8(text) if dice.random() < 0.2 else bytes(msgpack.packb(text))
    size = dice.choice((len(value), len(value), len(value) + 1, 0))
    return bytes(msgpack.packb(dice.randbytes(size)))


def _str8(text: str) -> bytes:
    raw = text.encode()
    return b"\xd9" + bytes((len(raw),)) + raw


_STRANGE: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda _: b"\xc0",
    lambda _: b"\xc3",
    lambda dice: b"\x91" * dice.randint(1, 100),
    lambda dice: b"\xd6\xff" + dice.randbytes(4),  # a time stamp
    lambda dice: b"\xc7\x05\x01" + dice.randbytes(5),  # an ext type
    lambda _: b"\xa2\xff\xfe",  # no UTF-8
    lambda _: b"\xdf\xff\xff\xff\xff",  # a map of 4,294,967,295 fields
    lambda _: b"\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
    lambda dice: b"\x81\x01" + dice.randbytes(1),
    lambda dice: dice.randbytes(dice.randint(0, 12)),
)
