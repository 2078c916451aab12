"""The messages of docs/protocol.md written down with struct, hmac and hashlib alone.

It shares no code with the product, so that both must have read the same document.
"""

import hashlib
import hmac
import struct
from typing import Any

SECRET = bytes(range(32))
SESSION = "s-2f6c"
TERM = 3


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def term_key(secret: bytes, session: str, term: int) -> bytes:
    text = b"unisono/1 term key\0" + session.encode() + b"\0"
    return mac(secret, text + struct.pack(">Q", term))


KEY = term_key(SECRET, SESSION, TERM)


def key_id(key: bytes) -> bytes:
    return mac(key, b"unisono/1 key id")[:4]


def uint(value: int) -> bytes:
    for limit, head, form in (
        (0x80, b"", "B"),
        (0x100, b"\xcc", "B"),
        (0x10000, b"\xcd", ">H"),
        (0x100000000, b"\xce", ">I"),
        (0x10000000000000000, b"\xcf", ">Q"),
    ):
        if value < limit:
            return head + struct.pack(form, value)
    raise ValueError(value)


def text(value: str) -> bytes:
    raw = value.encode()
    return (bytes((0xA0 | len(raw),)) if len(raw) < 32 else b"\xd9" + bytes((len(raw),))) + raw


def real(value: float) -> bytes:
    return b"\xcb" + struct.pack(">d", value)


def blob(value: bytes) -> bytes:
    return b"\xc4" + bytes((len(value),)) + value


def fingerprint(items: list[dict[str, Any]]) -> bytes:
    digest = hashlib.sha256()
    for item in items:
        digest.update(struct.pack(">Q", item["duration_ns"]))
        for part in (item["fingerprint"], item["uri"]):
            digest.update(struct.pack(">I", len(part.encode())) + part.encode())
    return digest.digest()[:8]


PLAYLIST = [
    {"uri": "film.mp4", "duration_ns": 30_000_000_000, "fingerprint": "ab12"},
    {"uri": "niño.mp4", "duration_ns": 12_345_678_901, "fingerprint": ""},
]

BEACON: dict[str, Any] = {
    "session_id": SESSION,
    "term": TERM,
    "master_device_id": "wall-left",
    "clock_id": "c10c0000a5a5ff07",
    "seq": 7_864_320_001,
    "sent_ns": 120_000_123_456,
    "phase_ns": 4_999_000_789,
    "speed": 1.0,
    "state": "playing",
    "playlist": fingerprint(PLAYLIST).hex(),
}


def values(beacon: dict[str, Any], key: bytes) -> list[bytes]:
    return [
        uint(beacon.get("version", 1)),
        text(beacon["session_id"]),
        uint(beacon["term"]),
        text(beacon["master_device_id"]),
        blob(bytes.fromhex(beacon["clock_id"])),
        uint(beacon["seq"]),
        real(beacon["sent_ns"] / 1e6),
        real(beacon["phase_ns"] / 1e6),
        real(beacon["speed"]),
        text(beacon["state"]),
        blob(bytes.fromhex(beacon["playlist"])),
        blob(key_id(key)),
    ]


def fields(parts: list[bytes]) -> bytes:
    return b"".join(uint(number) + part for number, part in enumerate(parts, start=1))


def sealed(head: bytes, body: bytes, key: bytes = KEY) -> bytes:
    signed = head + body + b"\x0d\xc4\x10"
    return signed + mac(key, signed)[:16]


def beacon_bytes(changes: dict[str, Any] | None = None, key: bytes = KEY) -> bytes:
    return sealed(b"\x8d", fields(values({**BEACON, **(changes or {})}, key)), key)


def patched(number: int, raw: bytes) -> bytes:
    """A beacon, well signed, whose field ``number`` has ``raw`` as its value."""
    parts = values(BEACON, KEY)
    parts[number - 1] = raw
    return sealed(b"\x8d", fields(parts))


def tag(kind: bytes, name: str) -> bytes:
    return hashlib.sha256(kind + b"\0" + name.encode()).digest()[:8]


def small(
    kind: int, sender: str, token: bytes, stamps: tuple[int, int, int], **changes: Any
) -> bytes:
    """A message of 80 bytes; ``changes``: magic, version, session, term, key."""
    session, term = changes.get("session", SESSION), changes.get("term", TERM)
    key = changes.get("key", term_key(SECRET, session, term))
    body = struct.pack(
        ">2sBB4s8sQ8s8sqqq",
        changes.get("magic", b"UP"),
        changes.get("version", 1),
        kind,
        key_id(key),
        tag(b"session", session),
        term,
        tag(b"device", sender),
        token,
        *stamps,
    )
    return body + mac(key, body)[:16]
