"""Beacon v1: what the master says of the phase, some 20 times per second.

A msgpack map of twelve fields with small integers as keys, in rising order, in the one
canonical encoding; the signature is its last value and covers every byte before it.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgpack

from unisono.core.units import MasterNs, ms_to_ns, ns_to_ms
from unisono.wire.fingerprint import FINGERPRINT_BYTES
from unisono.wire.keys import (
    KEY_ID_BYTES,
    MAX_TERM,
    SIGNATURE_BYTES,
    KeyRing,
    check_signature,
    key_id,
    sign,
)
from unisono.wire.refusal import Reason, Refused

BEACON_VERSION: Final = 1
MAX_BEACON_BYTES: Final = 255
MAX_ID_BYTES: Final = 64
MAX_SEQ: Final = 2**63 - 1
# About 300 years: far beyond any uptime or countdown, far within a float's whole numbers.
MAX_TIME_MS: Final = 1e13
MAX_SPEED: Final = 16.0

_FIELDS: Final = 12
_HEAD: Final = bytes((0x80 | _FIELDS,))


class BeaconState(StrEnum):
    """What the timeline does: counts down, runs, or has ended."""

    CUED = "cued"
    PLAYING = "playing"
    STOPPED = "stopped"


_STATES: Final = tuple(BeaconState)


@dataclass(frozen=True, slots=True)
class Beacon:
    """The phase at one instant of the master's clock.

    ``sent_ns`` and ``phase_ns`` travel as milliseconds in 64-bit floats: exact to 1 ns for
    clocks below about 100 days. ``phase_ns`` is negative while the start is still to come.
    """

    session_id: str
    term: int
    master_device_id: str
    seq: int
    sent_ns: MasterNs
    phase_ns: int
    speed: float
    state: BeaconState
    playlist: bytes


def encode_beacon(beacon: Beacon, key: bytes) -> bytes:
    """The signed bytes; `Refused` (FIELD or SIZE) when a value cannot travel."""
    body = _pack_body(beacon, key_id(key))
    data = body + sign(key, body)
    if len(data) > MAX_BEACON_BYTES:
        raise Refused(Reason.SIZE, f"{len(data)} bytes; the ids are too long")
    return data


def decode_beacon(data: bytes, key: bytes) -> Beacon:
    """The beacon in ``data``, verified under ``key``; `Refused` says why not."""
    beacon, named_key_id = _unpack(data)
    check_signature(key, named_key_id, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])
    return beacon


def open_beacon(data: bytes, keys: KeyRing) -> Beacon:
    """As `decode_beacon`, with the key that the beacon's own session and term ask for."""
    beacon, named_key_id = _unpack(data)
    key = keys.key_of(beacon.session_id, beacon.term)
    check_signature(key, named_key_id, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])
    return beacon


def _pack_body(beacon: Beacon, named_key_id: bytes) -> bytes:
    """Everything but the signature's 16 bytes, in canonical form, checked."""
    _check(beacon)
    values: tuple[Any, ...] = (
        BEACON_VERSION,
        beacon.session_id,
        beacon.term,
        beacon.master_device_id,
        beacon.seq,
        ns_to_ms(beacon.sent_ns),
        ns_to_ms(beacon.phase_ns),
        float(beacon.speed),
        beacon.state.value,
        beacon.playlist,
        named_key_id,
    )
    return _pack_values(values)


def _pack_values(values: tuple[Any, ...]) -> bytes:
    pack = msgpack.Packer(use_bin_type=True, autoreset=False)
    for number, value in enumerate(values, start=1):
        pack.pack(number)
        pack.pack(value)
    pack.pack(_FIELDS)
    # The head of a bin 8 value of 16 bytes: its content, the signature, ends the message.
    return _HEAD + bytes(pack.bytes()) + bytes((0xC4, SIGNATURE_BYTES))


def _unpack(data: bytes) -> tuple[Beacon, bytes]:
    """Fields and key id of a well-formed beacon, its signature not yet verified."""
    if not 0 < len(data) <= MAX_BEACON_BYTES:
        raise Refused(Reason.SIZE, f"{len(data)} bytes")
    values = _values(data)
    beacon = _beacon(values)
    _check(beacon)
    if _pack_values(tuple(values[:-1])) + values[-1] != data:
        raise Refused(Reason.MALFORMED, "not in canonical form")
    return beacon, values[-2]


def _values(data: bytes) -> list[Any]:
    """The twelve values in order, their types checked."""
    try:
        pairs = msgpack.unpackb(
            data, raw=False, strict_map_key=False, object_pairs_hook=tuple, max_ext_len=0
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    if type(pairs) is not tuple or not pairs or type(pairs[0]) is not tuple:
        raise Refused(Reason.MALFORMED, "not a map")
    if pairs[0][0] == 1 and type(pairs[0][1]) is int and pairs[0][1] != BEACON_VERSION:
        raise Refused(Reason.VERSION, f"version {pairs[0][1]}")
    if [number for number, _ in pairs] != list(range(1, _FIELDS + 1)):
        raise Refused(Reason.FIELD, "fields unknown, missing, repeated or out of order")
    values = [value for _, value in pairs]
    for number, (value, kind) in enumerate(zip(values, _KINDS, strict=True), start=1):
        if type(value) is not kind:
            raise Refused(Reason.FIELD, f"field {number} is not of type {kind.__name__}")
    return values


_KINDS: Final = (int, str, int, str, int, float, float, float, str, bytes, bytes, bytes)


def _beacon(values: list[Any]) -> Beacon:
    _, session_id, term, master, seq, sent_ms, phase_ms, speed, state, playlist, kid, mac = values
    for name, value_ms in (("sent", sent_ms), ("phase", phase_ms)):
        if not math.isfinite(value_ms) or abs(value_ms) > MAX_TIME_MS:
            raise Refused(Reason.FIELD, f"{name} out of range")
    if state not in _STATES:
        raise Refused(Reason.FIELD, "unknown state")
    if len(kid) != KEY_ID_BYTES or len(mac) != SIGNATURE_BYTES:
        raise Refused(Reason.FIELD, "key id or signature of a wrong length")
    return Beacon(
        session_id=session_id,
        term=term,
        master_device_id=master,
        seq=seq,
        sent_ns=MasterNs(ms_to_ns(sent_ms)),
        phase_ns=ms_to_ns(phase_ms),
        speed=speed,
        state=BeaconState(state),
        playlist=playlist,
    )


def _check(beacon: Beacon) -> None:
    """Ranges, for both directions; `Refused` as FIELD."""
    for name, text in (("session", beacon.session_id), ("master", beacon.master_device_id)):
        if not 0 < len(text.encode(errors="surrogatepass")) <= MAX_ID_BYTES:
            raise Refused(Reason.FIELD, f"{name} id must have 1 to {MAX_ID_BYTES} bytes")
    limit_ns = round(MAX_TIME_MS) * 1_000_000
    fit = (
        0 <= beacon.term <= MAX_TERM,
        0 <= beacon.seq <= MAX_SEQ,
        0 <= beacon.sent_ns <= limit_ns,
        -limit_ns <= beacon.phase_ns <= limit_ns,
        math.isfinite(beacon.speed) and 0 < beacon.speed <= MAX_SPEED,
        len(beacon.playlist) == FINGERPRINT_BYTES,
    )
    if not all(fit):
        raise Refused(Reason.FIELD, "a number out of range, or a fingerprint of a wrong length")
