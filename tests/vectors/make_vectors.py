"""Writes wire_v1.json, byte-exact examples of docs/protocol.md, good and bad.

``python -m tests.vectors.make_vectors``; it shares no code with the product. A receiver under
test has the secret, the session's id and, as its lowest term, the term given in the file. A
good beacon of another session is for a receiver of that session.
"""

import json
import struct
from pathlib import Path
from typing import Any

from tests.vectors.plain_bytes import (
    BEACON,
    KEY,
    PLAYLIST,
    SECRET,
    SESSION,
    TERM,
    beacon_bytes,
    blob,
    fields,
    fingerprint,
    key_id,
    patched,
    real,
    sealed,
    small,
    term_key,
    text,
    uint,
    values,
)

FILE = Path(__file__).with_name("wire_v1.json")
NONCE = bytes.fromhex("0123456789abcdef")
CLOCK = bytes.fromhex("f0110000e4c10c4d")

Row = dict[str, Any]
Bad = tuple[str, str, bytes]


def beacons() -> list[Row]:
    cases: dict[str, Row] = {
        "playing": {},
        "countdown": {"phase_ns": -2_500_000_001, "state": "cued"},
        "stopped": {"state": "stopped", "seq": 0},
        "smallest": {
            "session_id": "s", "master_device_id": "m", "clock_id": "0000000000000000",
            "seq": 0, "sent_ns": 0, "phase_ns": 0, "state": "cued", "playlist": "0000000000000000",
        },
        "largest": {
            "session_id": "s" * 64, "master_device_id": "ñ" * 32, "clock_id": "ff" * 8,
            "seq": 2**63 - 1, "term": 2**63 - 1, "sent_ns": 10**19, "phase_ns": -(10**19),
            "speed": 16.0, "state": "playing",
        },
        "ids of 31 and 32 bytes": {"session_id": "s" * 31, "master_device_id": "m" * 32},
        "ids of 32 and 31 bytes": {"session_id": "s" * 32, "master_device_id": "m" * 31},
        "half speed, one ns": {"speed": 0.5, "sent_ns": 1, "phase_ns": -1},
        "a clock of 99 days to the ns": {"sent_ns": 99 * 86_400_000_000_000 + 1},
        **{
            f"term and seq {number}": {"term": number, "seq": number}
            for number in (127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32)
        },
    }  # fmt: skip
    made = []
    for name, changes in cases.items():
        beacon = {**BEACON, **changes}
        key = term_key(SECRET, beacon["session_id"], beacon["term"])
        made.append({"name": name, "beacon": beacon, "hex": beacon_bytes(changes, key).hex()})
    return made


def strange_beacons() -> list[Bad]:
    """What is refused before a signature was looked at."""
    good, parts = beacon_bytes(), values(BEACON, KEY)
    other = {"session_id": "s-2f6d"}
    return [
        ("empty", "size", b""),
        ("256 bytes", "size", good + bytes(256 - len(good))),
        ("one byte", "malformed", b"\x8d"),
        ("two bytes", "malformed", b"\x8d\x01"),
        ("the head alone", "foreign_session", b"\x8d\x01\x01"),
        ("one byte short", "malformed", good[:-1]),
        ("a byte behind it", "malformed", good + b"\0"),
        ("cut behind the session", "malformed", good[:12]),
        ("not msgpack", "malformed", b"\xc1" * 40),
        ("an array", "malformed", b"\x93\x01\x02\x03"),
        ("an empty map", "malformed", b"\x80"),
        ("deeply nested", "malformed", b"\x91" * 200),
        ("a map with a longer head", "malformed", sealed(b"\xde\x00\x0d", fields(parts))),
        ("key 1 in a longer form", "malformed", sealed(b"\x8d", b"\xcc" + fields(parts))),
        ("version 0", "version", beacon_bytes({"version": 0})),
        ("version 2", "version", beacon_bytes({"version": 2})),
        ("version 127", "version", beacon_bytes({"version": 127})),
        ("version 2 with 3 fields", "version", b"\x83\x01\x02\x02\x00\x03\x00"),
        ("version in a longer form", "malformed", patched(1, b"\xcc\x01")),
        ("a field less", "field", sealed(b"\x8c", fields(parts[:-1]))),
        ("a field more", "field", sealed(b"\x8e", fields(parts) + b"\x0e\x00")),
        ("a field twice", "field", sealed(b"\x8e", uint(1) + parts[0] + fields(parts))),
        ("another session", "foreign_session", beacon_bytes(other, term_key(SECRET, "s-2f6d", 3))),
        ("no session", "foreign_session", patched(2, text(""))),
        ("a session of 65 bytes", "foreign_session", patched(2, text("s" * 65))),
        ("a session not in UTF-8", "foreign_session", patched(2, b"\xa2\xff\xfe")),
        ("a session in a longer form", "foreign_session", patched(2, b"\xd9" + text(SESSION))),
        ("a long key id", "malformed", patched(12, blob(b"12345"))),
        ("a key id as text", "malformed", patched(12, text("1234"))),
        ("term true", "field", patched(3, b"\xc3")),
        ("term negative", "field", patched(3, b"\xff")),
        ("term as real", "field", patched(3, real(3.0))),
        ("term of 64 bits", "field", patched(3, uint(2**63))),
        ("term in a longer form", "malformed", patched(3, b"\xcc\x03")),
    ]


def unsigned_beacons() -> list[Bad]:
    """What is refused by term, key id or signature."""
    good = beacon_bytes()
    flipped = bytearray(good)
    flipped[40] ^= 1
    old = {"term": TERM - 1}
    return [
        ("an old term", "old_term", beacon_bytes(old, term_key(SECRET, SESSION, TERM - 1))),
        ("another secret's key", "unknown_key", beacon_bytes(key=b"k" * 32)),
        ("another term's key", "unknown_key", beacon_bytes(key=term_key(SECRET, SESSION, 4))),
        ("a forged later term", "unknown_key", beacon_bytes({"term": 10**12})),
        ("a bit flipped", "signature", bytes(flipped)),
        ("another signature", "signature", good[:-16] + bytes(16)),
        ("a later term, not signed", "signature", beacon_bytes(
            {"term": 9}, term_key(SECRET, SESSION, 9))[:-1] + b"\0"),
    ]  # fmt: skip


def wrong_beacons() -> list[Bad]:
    """What is refused although its signature fits."""
    parts = values(BEACON, KEY)
    swapped = [*parts[:8], parts[9], parts[8], *parts[10:]]
    return [
        ("a text that ends behind the message", "malformed", patched(4, b"\xd9\xff")),
        ("a master not in UTF-8", "malformed", patched(4, b"\xa2\xff\xfe")),
        ("a reserved byte", "malformed", patched(6, b"\xc1")),
        ("an ext type", "malformed", patched(11, b"\xd7\x01" + bytes(8))),
        ("fields out of order", "field", sealed(b"\x8d", fields(parts).replace(
            b"\x05" + parts[4] + b"\x06" + parts[5], b"\x06" + parts[5] + b"\x05" + parts[4]))),
        ("two fields' values swapped", "field", sealed(b"\x8d", fields(swapped))),
        ("no master", "field", patched(4, text(""))),
        ("a master of 65 bytes", "field", patched(4, text("m" * 65))),
        ("a short clock id", "field", patched(5, blob(b"1234567"))),
        ("a long clock id", "field", patched(5, blob(b"123456789"))),
        ("clock id as text", "field", patched(5, text("12345678"))),
        ("clock id in a longer form", "malformed", patched(5, b"\xc5\x00\x0812345678")),
        ("seq of 64 bits", "field", patched(6, uint(2**63))),
        ("seq negative", "field", patched(6, b"\xff")),
        ("seq nil", "field", patched(6, b"\xc0")),
        ("seq in a longer form", "malformed", patched(6, b"\xce" + struct.pack(">I", 5))),
        ("sent is not a number", "field", patched(7, real(float("nan")))),
        ("sent is infinite", "field", patched(7, real(float("inf")))),
        ("sent before zero", "field", patched(7, real(-1.0))),
        ("sent as a whole number", "field", patched(7, uint(5))),
        ("sent in 32 bits", "malformed", patched(7, b"\xca" + struct.pack(">f", 120_000.0))),
        ("sent between two ns", "malformed", patched(7, real(1.0000005))),
        ("phase out of range", "field", patched(8, real(1.1e13))),
        ("phase minus zero", "malformed", patched(8, real(-0.0))),
        ("speed zero", "field", patched(9, real(0.0))),
        ("speed negative", "field", patched(9, real(-1.0))),
        ("speed too high", "field", patched(9, real(16.5))),
        ("speed is not a number", "field", patched(9, real(float("nan")))),
        ("unknown state", "field", patched(10, text("paused"))),
        ("state as bytes", "field", patched(10, blob(b"playing"))),
        ("a short fingerprint", "field", patched(11, blob(b"1234567"))),
    ]  # fmt: skip


def named(cases: list[Bad]) -> list[Row]:
    return [{"name": name, "reason": reason, "hex": raw.hex()} for name, reason, raw in cases]


def refused_smalls(kind: int, stamps: tuple[int, int, int], token: bytes) -> list[Bad]:
    """What any of the three kinds is refused for."""
    good = small(kind, "wall-right", token, stamps)

    def bad(**changes: Any) -> bytes:
        return small(kind, "wall-right", token, stamps, **changes)

    return [
        ("empty", "size", b""),
        ("a byte short", "size", good[:-1]),
        ("a byte behind it", "size", good + b"\0"),
        ("another magic", "malformed", bad(magic=b"XX")),
        ("version 2", "version", bad(version=2)),
        ("the next kind", "field", small(kind % 3 + 1, "wall-right", token, stamps)),
        ("kind 0", "field", small(0, "wall-right", token, stamps)),
        ("another session", "foreign_session", bad(session="x")),
        ("a term of 64 bits", "field", bad(term=2**63, key=KEY)),
        ("an old term", "old_term", bad(term=TERM - 1)),
        ("another key", "unknown_key", bad(key=b"k" * 32)),
        ("another term's key", "unknown_key", bad(term=TERM + 1, key=KEY)),
        ("a bit flipped", "signature", good[:-1] + bytes((good[-1] ^ 1,))),
        ("its clock changed", "signature", good[:40] + bytes((good[40] ^ 1,)) + good[41:]),
    ]


def probes() -> Row:
    stamps = (5_000_000_001, 120_000_000_002, 120_000_050_003)
    request = {"sender": "wall-right", "nonce": int.from_bytes(NONCE, "big"), "term": TERM}
    reply = {"sender": "wall-left", "nonce": 2**64 - 1, "term": 2**63 - 1}
    edge = (-(2**63), 2**63 - 1, 0)
    return {
        "request": request | {
            "own_sent_ns": stamps[0],
            "hex": small(1, "wall-right", NONCE, (stamps[0], 0, 0)).hex(),
        },
        "reply": request | {
            "sender": "wall-left", "own_sent_ns": stamps[0],
            "master_received_ns": stamps[1], "master_sent_ns": stamps[2],
            "hex": small(2, "wall-left", NONCE, stamps).hex(),
        },
        "reply with the largest numbers": reply | {
            "own_sent_ns": edge[0], "master_received_ns": edge[1], "master_sent_ns": edge[2],
            "hex": small(2, "wall-left", b"\xff" * 8, edge, term=2**63 - 1).hex(),
        },
        "refused_requests": named([
            *refused_smalls(1, (stamps[0], 0, 0), NONCE),
            ("a second stamp", "field", small(1, "wall-right", NONCE, (1, 2, 0))),
            ("a third stamp", "field", small(1, "wall-right", NONCE, (1, 0, 3))),
        ]),
        "refused_replies": named(refused_smalls(2, stamps, NONCE)),
    }  # fmt: skip


def listens() -> Row:
    at_ns = 5_000_000_001
    leases = (("renewed", 3_000), ("ended", 0), ("the longest", 10_000))
    base = {"sender": "wall-right", "clock_id": CLOCK.hex(), "own_ns": at_ns, "term": TERM}
    return {
        "good": [
            {"name": name, "hex": small(3, "wall-right", CLOCK, (at_ns, lease_ms, 0)).hex()}
            | base | {"lease_ms": lease_ms}
            for name, lease_ms in leases
        ],
        "refused": named([
            *refused_smalls(3, (at_ns, 3_000, 0), CLOCK),
            ("a lease too long", "field", small(3, "wall-right", CLOCK, (at_ns, 10_001, 0))),
            ("a lease below zero", "field", small(3, "wall-right", CLOCK, (at_ns, -1, 0))),
            ("a third stamp", "field", small(3, "wall-right", CLOCK, (at_ns, 3_000, 1))),
        ]),
    }  # fmt: skip


def document() -> Row:
    refused = [*strange_beacons(), *unsigned_beacons(), *wrong_beacons()]
    return {
        "secret_hex": SECRET.hex(),
        "session_id": SESSION,
        "term": TERM,
        "term_key_hex": KEY.hex(),
        "key_id_hex": key_id(KEY).hex(),
        "playlist": {"items": PLAYLIST, "fingerprint_hex": fingerprint(PLAYLIST).hex()},
        "beacons": beacons(),
        "refused_beacons": named(refused),
        "probes": probes(),
        "listens": listens(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
