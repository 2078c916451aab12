"""Whatever is encoded comes back; whatever else comes in is refused, never anything worse."""

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.core.units import MasterNs, OwnNs
from unisono.wire import (
    Beacon,
    BeaconState,
    KeyRing,
    ProbeReply,
    Refused,
    decode_beacon,
    decode_reply,
    decode_request,
    encode_beacon,
    encode_reply,
    open_beacon,
)

KEY = bytes(32)
RING = KeyRing(b"secret", "session", 0)
# A float of ms is exact to the nanosecond below 2**32 ms.
EXACT_NS = 49 * 86_400_000_000_000

identifiers = st.text(min_size=1, max_size=64).filter(
    lambda text: text.isprintable() and len(text.encode()) <= 64
)
beacons = st.builds(
    Beacon,
    session_id=identifiers,
    term=st.integers(0, 2**63 - 1),
    master_device_id=identifiers,
    seq=st.integers(0, 2**63 - 1),
    sent_ns=st.integers(0, EXACT_NS).map(MasterNs),
    phase_ns=st.integers(-EXACT_NS, EXACT_NS),
    speed=st.floats(0.1, 16.0),
    state=st.sampled_from(BeaconState),
    playlist=st.binary(min_size=8, max_size=8),
)


@given(beacons)
def test_a_beacon_comes_back_to_the_nanosecond_in_under_256_bytes(beacon: Beacon) -> None:
    data = encode_beacon(beacon, KEY)
    assert len(data) < 256
    assert decode_beacon(data, KEY) == beacon


@given(beacons, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused(beacon: Beacon, where: int, by: int) -> None:
    data = bytearray(encode_beacon(beacon, KEY))
    data[where % len(data)] ^= by
    with pytest.raises(Refused):
        decode_beacon(bytes(data), KEY)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_order(data: bytes) -> None:
    with pytest.raises(Refused):
        decode_beacon(data, KEY)
    with pytest.raises(Refused):
        open_beacon(data, RING)
    for decode_probe in (decode_request, decode_reply):
        with pytest.raises(Refused):
            decode_probe(data, RING)


def documents() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        *(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1)),
        *(st.floats(), st.text(max_size=20), st.binary(max_size=20)),
        st.builds(msgpack.Timestamp, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999)),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8)),
    )
    keys = st.one_of(st.integers(0, 20), st.text(max_size=4), st.binary(max_size=4))
    deeper = st.recursive(leaves, lambda d: st.lists(d, max_size=3) | st.dictionaries(keys, d))
    return st.dictionaries(keys, deeper, max_size=14) | deeper


@given(documents())
def test_any_msgpack_is_refused_in_order(document: Any) -> None:
    with pytest.raises(Refused):
        decode_beacon(msgpack.packb(document), KEY)


@given(
    beacons,
    st.sampled_from(("sent_ns", "phase_ns", "term", "seq")),
    st.sampled_from((2**80, -(2**80))),
)
def test_what_cannot_travel_is_not_sent(beacon: Beacon, field: str, value: int) -> None:
    parts = {name: getattr(beacon, name) for name in Beacon.__slots__}
    with pytest.raises(Refused):
        encode_beacon(Beacon(**(parts | {field: value})), KEY)
    with pytest.raises(Refused):
        encode_beacon(Beacon(**(parts | {"speed": math.nan})), KEY)


@given(st.integers(0, 2**64 - 1), *(st.integers(-(2**63), 2**63 - 1) for _ in range(3)))
def test_a_probe_reply_comes_back(nonce: int, sent: int, there: int, back: int) -> None:
    reply = ProbeReply(7, b"12345678", nonce, OwnNs(sent), MasterNs(there), MasterNs(back))
    assert decode_reply(encode_reply(reply, RING), RING) == reply
