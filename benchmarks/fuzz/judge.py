"""What must hold for any bytes at all, and the key that gets them past the signature."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from unisono.wire import (
    KeyRing,
    Refused,
    decode_listen,
    decode_reply,
    decode_request,
    derive_key,
    encode_beacon,
    encode_listen,
    encode_reply,
    encode_request,
    key_id,
    open_beacon,
)
from unisono.wire.keys import sign

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "tests/vectors/wire_v1.json").read_text(encoding="utf-8")
)
SECRET: Final = bytes.fromhex(VECTORS["secret_hex"])
RING: Final = KeyRing(SECRET, VECTORS["session_id"], VECTORS["term"])
SMALL_BYTES: Final = 80
TAIL_BYTES: Final = 26
# How each beacon of this session begins, up to its term.
FRONT: Final = b"\x8d\x01\x01\x02" + msgpack.packb(RING.session_id) + b"\x03"


class Message(NamedTuple):
    """A kind of message: its decoder and its encoder."""

    name: str
    decode: Callable[[bytes, KeyRing], Any]
    encode: Callable[[Any], bytes]


MESSAGES: Final = (
    Message("beacon", open_beacon, lambda b: encode_beacon(b, RING.key_of_term(b.term))),
    Message("request", decode_request, lambda m: encode_request(m, RING)),
    Message("reply", decode_reply, lambda m: encode_reply(m, RING)),
    Message("listen", decode_listen, lambda m: encode_listen(m, RING)),
)


class Ambiguous(Exception):  # noqa: N818 - it says what was found
    """A message that was accepted has a second encoding."""


def judge(data: bytes) -> list[str]:
    """The kinds as which ``data`` is accepted: none or one.

    Whatever a decoder raises but `Refused` comes out, and `Ambiguous` when what was accepted
    would be sent in other bytes.
    """
    accepted = []
    for message in MESSAGES:
        try:
            value = message.decode(data, RING)
        except Refused:
            continue
        if (again := message.encode(value)) != data:
            raise Ambiguous(f"{message.name}: {data.hex()} is sent as {again.hex()}")
        accepted.append(message.name)
    return accepted


def sign_again(data: bytes) -> bytes:
    """``data`` with the key id and the signature that it needs to be read at all."""
    if len(data) == SMALL_BYTES and data.startswith(b"UP"):
        key = _key(int.from_bytes(data[16:24], "big"))
        body = data[:4] + key_id(key) + data[8:-16]
    elif data.startswith(FRONT) and len(data) >= len(FRONT) + TAIL_BYTES:
        key = _key(_term(data))
        body = data[:-TAIL_BYTES] + b"\x0c\xc4\x04" + key_id(key) + b"\x0d\xc4\x10"
    else:
        return data
    return body + sign(key, body)


def _key(term: int) -> bytes:
    return derive_key(SECRET, RING.session_id, term)  # also of terms that nobody may use


def _term(data: bytes) -> int:
    at = len(FRONT)
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(data[at], 0)
    return int.from_bytes(data[at + 1 : at + 1 + size], "big") if size else data[at]
