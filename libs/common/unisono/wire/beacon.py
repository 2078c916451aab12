"""Beacon v1: what the master says of the phase, some 20 times per second.

A msgpack map of thirteen fields with small integers as keys, in rising order, in the one
canonical encoding; the signature is its last value and covers every byte before it.

Because the encoding is canonical, what tells a stranger's bytes from ours lies at known places:
version, session and term from the front, key id and signature from the end. They are compared
there, and msgpack only ever reads what was signed with our key: a forged beacon costs a few µs.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgpack

from unisono.core.units import NS_PER_MS, MasterNs, ns_to_ms
from unisono.wire.fingerprint import FINGERPRINT_BYTES
from unisono.wire.keys import KEY_ID_BYTES, MAX_TERM, SIGNATURE_BYTES, KeyRing, key_id, sign
from unisono.wire.refusal import Reason, Refused

BEACON_VERSION: Final = 1
MAX_BEACON_BYTES: Final = 255
MAX_ID_BYTES: Final = 64
MAX_SEQ: Final = 2**63 - 1
CLOCK_ID_BYTES: Final = 8
# About 300 years: far beyond any uptime or countdown, far within a float's whole numbers.
MAX_TIME_MS: Final = 1e13
MAX_SPEED: Final = 16.0

# Frames known by their bytes once verified, as each may come by several paths, or be repeated by
# somebody: 3 s at 20 Hz.
RECENT_FRAMES: Final = 64

_FIELDS: Final = 13
# Map head, key 1 and version: how every beacon of this version begins.
_HEAD: Final = bytes((0x80 | _FIELDS, 1, BEACON_VERSION))
# The heads of the last two fields, each a key and a bin 8 of fixed size, and where they lie.
_KEY_ID_HEAD: Final = bytes((_FIELDS - 1, 0xC4, KEY_ID_BYTES))
_SIGNATURE_HEAD: Final = bytes((_FIELDS, 0xC4, SIGNATURE_BYTES))
_SIGNATURE_AT: Final = -SIGNATURE_BYTES
_KEY_ID_END: Final = _SIGNATURE_AT - len(_SIGNATURE_HEAD)
_KEY_ID_AT: Final = _KEY_ID_END - KEY_ID_BYTES
_TAIL_AT: Final = _KEY_ID_AT - len(_KEY_ID_HEAD)
# A msgpack uint behind its head: how many bytes, and the least value that needs so many.
_UINTS: Final = {0xCC: (1, 2**7), 0xCD: (2, 2**8), 0xCE: (4, 2**16), 0xCF: (8, 2**32)}


class BeaconState(StrEnum):
    """What the timeline does: counts down, runs, or has ended."""

    CUED = "cued"
    PLAYING = "playing"
    STOPPED = "stopped"


_STATES: Final = {state.value: state for state in BeaconState}


@dataclass(frozen=True, slots=True)
class Beacon:
    """The phase at one instant of the master's clock.

    ``clock_id`` names that clock: the same for as long as it runs on. ``sent_ns`` and
    ``phase_ns`` travel as milliseconds in 64-bit floats: exact to 1 ns for clocks below about
    100 days. ``phase_ns`` is negative while the start is still to come.
    """

    session_id: str
    term: int
    master_device_id: str
    clock_id: bytes
    seq: int
    sent_ns: MasterNs
    phase_ns: int
    speed: float
    state: BeaconState
    playlist: bytes


def encode_beacon(beacon: Beacon, key: bytes) -> bytes:
    """The signed bytes; `Refused` (FIELD) when a value cannot travel."""
    body = _pack_body(beacon, key_id(key))
    return body + sign(key, body)


def open_beacon(data: bytes, keys: KeyRing) -> Beacon:
    """The beacon in ``data``, of the session and secret of ``keys``; `Refused` says why not."""
    beacon = _opened(data, keys)
    keys.check_term(beacon.term)  # it may have passed since
    return beacon


@lru_cache(maxsize=RECENT_FRAMES)  # what is refused raises, and so is not kept
def _opened(data: bytes, keys: KeyRing) -> Beacon:
    if not 0 < len(data) <= MAX_BEACON_BYTES:
        raise Refused(Reason.SIZE, f"{len(data)} bytes")
    front = _front(keys.session_id)
    if not data.startswith(front):
        raise _stranger(data)
    if (
        data[_TAIL_AT:_KEY_ID_AT] != _KEY_ID_HEAD
        or data[_KEY_ID_END:_SIGNATURE_AT] != _SIGNATURE_HEAD
    ):
        raise Refused(Reason.MALFORMED, "no key id and signature at its end")
    body, named_key_id = data[:_SIGNATURE_AT], data[_KEY_ID_AT:_KEY_ID_END]
    keys.verify(_term(data, len(front)), named_key_id, body, data[_SIGNATURE_AT:])
    beacon = _beacon(_values(data))
    # One beacon, one encoding: also the one that says that what was compared is what was read.
    if _pack_body(beacon, named_key_id) != body:
        raise Refused(Reason.MALFORMED, "not in canonical form")
    return beacon


@lru_cache(maxsize=8)  # one session a process, in tests a few
def _front(session_id: str) -> bytes:
    """How every beacon of a session begins, up to the key of the term."""
    return _HEAD + b"\x02" + bytes(msgpack.packb(session_id)) + b"\x03"


def _stranger(data: bytes) -> Refused:
    """Why bytes that do not begin as our session's do are not ours."""
    if data.startswith(_HEAD):
        return Refused(Reason.FOREIGN_SESSION)
    if len(data) < len(_HEAD) or data[0] & 0xF0 != 0x80 or data[1] != _HEAD[1] or data[2] > 0x7F:
        return Refused(Reason.MALFORMED, "not a beacon")
    if data[2] != BEACON_VERSION:
        return Refused(Reason.VERSION, f"version {data[2]}")
    return Refused(Reason.FIELD, "fields missing or unknown")


def _term(data: bytes, at: int) -> int:
    """The term in its canonical form at ``at``; the tail that lies behind it was seen."""
    head = data[at]
    if head < 0x80:
        return head
    if (form := _UINTS.get(head)) is None:
        raise Refused(Reason.FIELD, "the term is no number")
    size, least = form
    term = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if term < least:
        raise Refused(Reason.MALFORMED, "the term is not in its shortest form")
    if term > MAX_TERM:
        raise Refused(Reason.FIELD, "term out of range")
    return term


def _pack_body(beacon: Beacon, named_key_id: bytes) -> bytes:
    """Everything but the signature's 16 bytes, in canonical form, checked."""
    _check(beacon)
    values: tuple[Any, ...] = (
        BEACON_VERSION,
        beacon.session_id,
        beacon.term,
        beacon.master_device_id,
        beacon.clock_id,
        beacon.seq,
        ns_to_ms(beacon.sent_ns),
        ns_to_ms(beacon.phase_ns),
        float(beacon.speed),
        beacon.state.value,
        beacon.playlist,
        named_key_id,
        bytes(SIGNATURE_BYTES),
    )
    return bytes(msgpack.packb(dict(enumerate(values, start=1))))[:_SIGNATURE_AT]


def _values(data: bytes) -> list[Any]:
    """The values in order, their types checked."""
    try:
        pairs = msgpack.unpackb(
            data, raw=False, strict_map_key=False, object_pairs_hook=tuple, max_ext_len=0
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    if [number for number, _ in pairs] != _NUMBERS:
        raise Refused(Reason.FIELD, "fields unknown, missing, repeated or out of order")
    values = [value for _, value in pairs]
    if [type(value) for value in values] != _KINDS:
        raise Refused(Reason.FIELD, "a field of a wrong type")
    return values


_NUMBERS: Final = list(range(1, _FIELDS + 1))
_KINDS: Final = [int, str, int, str, bytes, int, float, float, float, str, bytes, bytes, bytes]


def _beacon(values: list[Any]) -> Beacon:
    _, session_id, term, master, clock_id, seq, sent_ms, phase_ms, speed, state, playlist, *_ = (
        values
    )
    if state not in _STATES:
        raise Refused(Reason.FIELD, "unknown state")
    return Beacon(
        session_id=session_id,
        term=term,
        master_device_id=master,
        clock_id=clock_id,
        seq=seq,
        sent_ns=MasterNs(_nearest_ns(sent_ms)),
        phase_ns=_nearest_ns(phase_ms),
        speed=speed,
        state=_STATES[state],
        playlist=playlist,
    )


def _nearest_ns(value_ms: float) -> int:
    """The whole ns nearest to ``value_ms``, without a float's rounding in between.

    So `ns_to_ms` of it is the same float again wherever one came from `ns_to_ms`.
    """
    if not abs(value_ms) <= MAX_TIME_MS:  # nor a NaN
        raise Refused(Reason.FIELD, "a time out of range")
    over, under = value_ms.as_integer_ratio()
    return (2 * over * NS_PER_MS + under) // (2 * under)


def _check(beacon: Beacon) -> None:
    """Ranges, for both directions; `Refused` as FIELD."""
    for name, text in (("session", beacon.session_id), ("master", beacon.master_device_id)):
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            size = 0
        if not 0 < size <= MAX_ID_BYTES:
            raise Refused(Reason.FIELD, f"{name} id must have 1 to {MAX_ID_BYTES} bytes of UTF-8")
    limit_ns = round(MAX_TIME_MS) * NS_PER_MS
    fit = (
        0 <= beacon.term <= MAX_TERM
        and len(beacon.clock_id) == CLOCK_ID_BYTES
        and 0 <= beacon.seq <= MAX_SEQ
        and 0 <= beacon.sent_ns <= limit_ns
        and -limit_ns <= beacon.phase_ns <= limit_ns
        and 0 < beacon.speed <= MAX_SPEED
        and len(beacon.playlist) == FINGERPRINT_BYTES
    )
    if not fit:
        raise Refused(Reason.FIELD, "a number out of range, or an id of a wrong length")
