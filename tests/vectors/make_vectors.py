"""Writes wire_v1.json: examples of docs/protocol.md, made with struct, hmac and hashlib alone.

It shares no code with the product, so that both must have read the same document:
``python tests/vectors/make_vectors.py``.
"""

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

SECRET = bytes(range(32))
SESSION = "s-2f6c"
TERM = 3
FILE = Path(__file__).with_name("wire_v1.json")


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
    signed = head + body + b"\x0c\xc4\x10"
    return signed + mac(key, signed)[:16]


def beacon_bytes(changes: dict[str, Any] | None = None, key: bytes = KEY) -> bytes:
    return sealed(b"\x8c", fields(values({**BEACON, **(changes or {})}, key)), key)


def patched(number: int, raw: bytes) -> bytes:
    """A beacon, well signed, whose field ``number`` has ``raw`` as its value."""
    parts = values(BEACON, KEY)
    parts[number - 1] = raw
    return sealed(b"\x8c", fields(parts))


def beacons() -> list[dict[str, Any]]:
    cases = {
        "playing": {},
        "countdown": {"phase_ns": -2_500_000_001, "state": "cued"},
        "stopped": {"state": "stopped", "seq": 0, "term": 3},
        "largest": {
            "session_id": "s" * 64,
            "master_device_id": "ñ" * 32,
            "seq": 2**63 - 1,
            "term": 2**63 - 1,
        },
    }
    made = []
    for name, changes in cases.items():
        beacon = {**BEACON, **changes}
        key = term_key(SECRET, beacon["session_id"], beacon["term"])
        made.append({"name": name, "beacon": beacon, "hex": beacon_bytes(changes, key).hex()})
    return made


def refused_beacons() -> list[dict[str, str]]:
    good = beacon_bytes()
    parts = values(BEACON, KEY)
    flipped = bytearray(good)
    flipped[40] ^= 1
    cases: list[tuple[str, str, bytes]] = [
        ("empty", "size", b""),
        ("256 bytes", "size", good + bytes(256 - len(good))),
        ("one byte short", "malformed", good[:-1]),
        ("a byte behind it", "malformed", good + b"\0"),
        ("not msgpack", "malformed", b"\xc1" * 40),
        ("an array", "malformed", b"\x93\x01\x02\x03"),
        ("an empty map", "malformed", b"\x80"),
        ("deeply nested", "malformed", b"\x91" * 200),
        ("version 2", "version", beacon_bytes({"version": 2})),
        ("a bit flipped", "signature", bytes(flipped)),
        ("another signature", "signature", good[:-16] + bytes(16)),
        ("another secret's key", "unknown_key", beacon_bytes(key=b"k" * 32)),
        ("another term's key", "unknown_key", beacon_bytes(key=term_key(SECRET, SESSION, 4))),
        ("a field less", "field", sealed(b"\x8b", fields(parts[:-1]))),
        ("a field more", "field", sealed(b"\x8d", fields(parts) + b"\x0d\x00")),
        ("a field twice", "field", sealed(b"\x8d", uint(1) + parts[0] + fields(parts))),
        (
            "two fields swapped",
            "field",
            sealed(b"\x8c", b"\x02" + parts[1] + b"\x01" + parts[0] + fields(parts)[10:]),
        ),
        ("seq as a float", "field", patched(5, real(5.0))),
        ("sent as a whole number", "field", patched(6, uint(120_000))),
        ("sent as a 32-bit float", "malformed", patched(6, b"\xca" + struct.pack(">f", 0.5))),
        ("sent is not a number", "field", patched(6, real(float("nan")))),
        ("sent is infinite", "field", patched(6, real(float("inf")))),
        ("sent before zero", "field", patched(6, real(-1.0))),
        ("phase out of range", "field", patched(7, real(1.1e13))),
        ("speed zero", "field", patched(8, real(0.0))),
        ("speed too high", "field", patched(8, real(16.5))),
        ("unknown state", "field", patched(9, text("paused"))),
        ("state as bytes", "field", patched(9, blob(b"playing"))),
        ("term true", "field", patched(3, b"\xc3")),
        ("term negative", "field", patched(3, b"\xff")),
        ("term of 64 bits", "field", patched(3, uint(2**63))),
        ("seq of 64 bits", "field", patched(5, uint(2**63))),
        ("seq in a longer form", "malformed", patched(5, b"\xce" + struct.pack(">I", 5))),
        ("no session", "field", patched(2, text(""))),
        ("a session of 65 bytes", "field", patched(2, text("s" * 65))),
        ("a session not in UTF-8", "malformed", patched(2, b"\xa2\xff\xfe")),
        ("a short fingerprint", "field", patched(10, blob(b"1234567"))),
        ("a long key id", "field", patched(11, blob(b"12345"))),
    ]
    return [{"name": n, "reason": r, "hex": raw.hex()} for n, r, raw in cases]


def tag(kind: bytes, name: str) -> bytes:
    return hashlib.sha256(kind + b"\0" + name.encode()).digest()[:8]


def probe(kind: int, sender: str, stamps: tuple[int, int, int], **changes: Any) -> bytes:
    key = changes.get("key", KEY)
    body = struct.pack(
        ">2sBB4s8sQ8sQqqq",
        changes.get("magic", b"UP"),
        changes.get("version", 1),
        kind,
        key_id(key),
        tag(b"session", changes.get("session", SESSION)),
        changes.get("term", TERM),
        tag(b"device", sender),
        0x0123456789ABCDEF,
        *stamps,
    )
    return body + mac(key, body)[:16]


def probes() -> dict[str, Any]:
    stamps = (5_000_000_001, 120_000_000_002, 120_000_050_003)
    request = probe(1, "wall-right", (stamps[0], 0, 0))
    reply = probe(2, "wall-left", stamps)
    refused_requests = [
        ("empty", "size", b""),
        ("a byte short", "size", request[:-1]),
        ("a byte behind it", "size", request + b"\0"),
        ("another magic", "malformed", probe(1, "wall-right", (1, 0, 0), magic=b"XX")),
        ("version 2", "version", probe(1, "wall-right", (1, 0, 0), version=2)),
        ("a reply", "field", reply),
        ("all stamps", "field", probe(1, "wall-right", stamps)),
        ("another session", "foreign_session", probe(1, "wall-right", (1, 0, 0), session="x")),
        (
            "an old term",
            "old_term",
            probe(1, "wall-right", (1, 0, 0), term=2, key=term_key(SECRET, SESSION, 2)),
        ),
        ("a term of 64 bits", "field", probe(1, "wall-right", (1, 0, 0), term=2**63)),
        ("another key", "unknown_key", probe(1, "wall-right", (1, 0, 0), key=b"k" * 32)),
        ("a bit flipped", "signature", request[:-1] + bytes((request[-1] ^ 1,))),
    ]
    return {
        "request": {
            "sender": "wall-right",
            "nonce": 0x0123456789ABCDEF,
            "own_sent_ns": stamps[0],
            "hex": request.hex(),
        },
        "reply": {
            "sender": "wall-left",
            "nonce": 0x0123456789ABCDEF,
            "own_sent_ns": stamps[0],
            "master_received_ns": stamps[1],
            "master_sent_ns": stamps[2],
            "hex": reply.hex(),
        },
        "refused_requests": [
            {"name": n, "reason": r, "hex": raw.hex()} for n, r, raw in refused_requests
        ],
    }


def document() -> dict[str, Any]:
    return {
        "secret_hex": SECRET.hex(),
        "session_id": SESSION,
        "term": TERM,
        "term_key_hex": KEY.hex(),
        "key_id_hex": key_id(KEY).hex(),
        "playlist": {"items": PLAYLIST, "fingerprint_hex": fingerprint(PLAYLIST).hex()},
        "beacons": beacons(),
        "refused_beacons": refused_beacons(),
        "probes": probes(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
