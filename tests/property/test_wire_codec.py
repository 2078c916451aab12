"""Whatever is encoded comes back; whatever else comes in is refused, never anything worse."""

import math
import random
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fuzz.judge import RING, VECTORS, judge, sign_again
from benchmarks.fuzz.mutate import SEEDS, mutate
from unisono.core.units import MasterNs, OwnNs
from unisono.wire import (
    Beacon,
    BeaconState,
    KeyRing,
    ListenRequest,
    ProbeReply,
    Refused,
    decode_listen,
    decode_reply,
    derive_key,
    encode_beacon,
    encode_listen,
    encode_reply,
    open_beacon,
)
from unisono.wire.beacon import MAX_TIME_MS

SECRET = b"secret"
MAX_NS = int(MAX_TIME_MS) * 1_000_000
# A float of ms is exact to the nanosecond below 2**33 ms.
EXACT_NS = 99 * 86_400_000_000_000

identifiers = st.text(min_size=1, max_size=64).filter(
    lambda text: text.isprintable() and len(text.encode()) <= 64
)
eight_bytes = st.binary(min_size=8, max_size=8)
stamps = st.integers(-(2**63), 2**63 - 1)
beacons = st.builds(
    Beacon,
    session_id=identifiers,
    term=st.integers(0, 2**63 - 1),
    master_device_id=identifiers,
    clock_id=eight_bytes,
    seq=st.integers(0, 2**63 - 1),
    sent_ns=st.integers(0, EXACT_NS).map(MasterNs),
    phase_ns=st.integers(-EXACT_NS, EXACT_NS),
    speed=st.floats(0.1, 16.0),
    state=st.sampled_from(BeaconState),
    playlist=eight_bytes,
)


def sent(beacon: Beacon) -> bytes:
    return encode_beacon(beacon, derive_key(SECRET, beacon.session_id, beacon.term))


def ring_for(beacon: Beacon) -> KeyRing:
    return KeyRing(SECRET, beacon.session_id, beacon.term)


@given(beacons)
def test_a_beacon_comes_back_to_the_nanosecond_in_under_256_bytes(beacon: Beacon) -> None:
    data = sent(beacon)
    assert len(data) < 256
    assert open_beacon(data, ring_for(beacon)) == beacon


@given(beacons, st.integers(0, MAX_NS), st.integers(-MAX_NS, MAX_NS))
def test_no_time_is_so_large_that_what_is_sent_is_refused(
    beacon: Beacon, sent_ns: int, phase_ns: int
) -> None:
    beacon = replace(beacon, sent_ns=MasterNs(sent_ns), phase_ns=phase_ns)
    opened = open_beacon(sent(beacon), ring_for(beacon))
    assert sent(opened) == sent(beacon)
    assert abs(opened.sent_ns - sent_ns) <= sent_ns * 2.0**-53 + 0.5


@given(beacons, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused(beacon: Beacon, where: int, by: int) -> None:
    data = bytearray(sent(beacon))
    data[where % len(data)] ^= by
    with pytest.raises(Refused):
        open_beacon(bytes(data), ring_for(beacon))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_order(data: bytes) -> None:
    assert judge(data) == []
    assert judge(sign_again(data)) == []


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


@given(documents(), st.integers(4, 11))
def test_any_msgpack_in_a_signed_field_is_read_rightly_or_refused(
    document: Any, field: int
) -> None:
    seed = bytes.fromhex(VECTORS["beacons"][0]["hex"])
    fields = msgpack.unpackb(seed, strict_map_key=False) | {field: document}
    assert judge(sign_again(msgpack.packb(fields))) in ([], ["beacon"])


@given(
    beacons,
    st.sampled_from(("sent_ns", "phase_ns", "term", "seq")),
    st.sampled_from((2**80, -(2**80))),
)
def test_what_cannot_travel_is_not_sent(beacon: Beacon, field: str, value: int) -> None:
    key = bytes(32)
    for changes in (
        {field: value},
        {"speed": math.nan},
        {"clock_id": b"seven.."},
        {"master_device_id": "\ud800"},
    ):
        parts = {name: getattr(beacon, name) for name in Beacon.__slots__}
        with pytest.raises(Refused):
            encode_beacon(Beacon(**(parts | changes)), key)


@given(st.integers(0, 2**64 - 1), stamps, stamps, stamps)
def test_a_probe_reply_comes_back(nonce: int, asked: int, there: int, back: int) -> None:
    reply = ProbeReply(7, b"12345678", nonce, OwnNs(asked), MasterNs(there), MasterNs(back))
    assert decode_reply(encode_reply(reply, RING), RING) == reply


@given(eight_bytes, eight_bytes, stamps, st.integers(0, 10_000))
def test_a_listen_comes_back(sender: bytes, clock_id: bytes, at_ns: int, lease_ms: int) -> None:
    request = ListenRequest(7, sender, clock_id, OwnNs(at_ns), lease_ms)
    assert decode_listen(encode_listen(request, RING), RING) == request
    for changes in ({"lease_ms": 10_001}, {"lease_ms": -1}, {"sender": b"7"}, {"own_ns": 2**63}):
        parts = {name: getattr(request, name) for name in ListenRequest.__slots__}
        with pytest.raises(Refused):
            encode_listen(ListenRequest(**(parts | changes)), RING)


def test_twenty_thousand_mutations_of_the_vectors_are_accepted_or_refused() -> None:
    """The long form, guided by coverage, is `make fuzz`."""
    dice = random.Random("unisono")
    accepted = 0
    pool = list(SEEDS)
    for _ in range(20_000):
        data = mutate(dice.choice(pool), dice)
        if judge(data):
            accepted += 1
            pool[dice.randrange(len(pool))] = data
    assert 1_000 < accepted < 19_000  # else the mutations test one side only
