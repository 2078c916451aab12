"""The small message: 80 signed bytes, in three kinds, between followers and master.

One fixed size, so that an answer is never longer than what asked for it. Layout in
``docs/protocol.md``; all numbers big-endian.
"""

import struct
from enum import IntEnum
from hashlib import sha256
from typing import Final, NamedTuple

from unisono.wire.keys import MAX_TERM, SIGNATURE_BYTES, KeyRing, key_id, sign
from unisono.wire.refusal import Reason, Refused

SMALL_VERSION: Final = 1
SMALL_BYTES: Final = 80
TAG_BYTES: Final = 8

_MAGIC: Final = b"UP"
# magic, version, kind, key id, session, term, sender, token, t1, t2, t3; then the signature.
_BODY: Final = struct.Struct(">2sBB4s8sQ8s8sqqq")


class Kind(IntEnum):
    """What a small message is for."""

    REQUEST = 1
    REPLY = 2
    LISTEN = 3


class Small(NamedTuple):
    """What all kinds carry; each has its own meaning for ``token`` (8 bytes) and the stamps."""

    term: int
    sender: bytes
    token: bytes
    stamps: tuple[int, int, int]


def party_tag(device_id: str) -> bytes:
    """8 bytes that stand for a device's id in a small message."""
    return sha256(b"device\0" + device_id.encode()).digest()[:TAG_BYTES]


def seal(kind: Kind, small: Small, keys: KeyRing) -> bytes:
    """The signed 80 bytes; `Refused` as FIELD when a value cannot travel, or as OLD_TERM."""
    if not (0 <= small.term <= MAX_TERM and len(small.sender) == len(small.token) == TAG_BYTES):
        raise Refused(Reason.FIELD, "term out of range, or a tag of a wrong length")
    key = keys.key_of_term(small.term)
    head = (_MAGIC, SMALL_VERSION, kind, key_id(key), keys.session_tag)
    try:
        body = _BODY.pack(*head, small.term, small.sender, small.token, *small.stamps)
    except struct.error:
        raise Refused(Reason.FIELD, "a stamp beyond 64 bits") from None
    return body + sign(key, body)


def unseal(data: bytes, wanted: Kind, keys: KeyRing) -> Small:
    """The message in ``data``, verified, of the ``wanted`` kind; `Refused` says why not."""
    if len(data) != SMALL_BYTES:
        raise Refused(Reason.SIZE, f"{len(data)} bytes")
    body = data[:-SIGNATURE_BYTES]
    magic, version, kind, kid, tag, term, sender, token, t1, t2, t3 = _BODY.unpack(body)
    if magic != _MAGIC:
        raise Refused(Reason.MALFORMED, "not a small message")
    if version != SMALL_VERSION:
        raise Refused(Reason.VERSION, f"version {version}")
    if kind != wanted:
        raise Refused(Reason.FIELD, f"kind {kind} where {wanted:d} belongs")
    if tag != keys.session_tag:
        raise Refused(Reason.FOREIGN_SESSION)
    if term > MAX_TERM:
        raise Refused(Reason.FIELD, "term out of range")
    keys.verify(term, kid, body, data[-SIGNATURE_BYTES:])
    return Small(term, sender, token, (t1, t2, t3))
