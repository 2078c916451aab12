"""The wire against its golden vectors, which share no code with it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.vectors import make_vectors
from unisono.core.timeline import MediaItem, Playlist
from unisono.wire import (
    Beacon,
    BeaconState,
    KeyRing,
    ListenRequest,
    ProbeReply,
    ProbeRequest,
    Reason,
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
    party_tag,
    playlist_fingerprint,
)

VECTORS: dict[str, Any] = json.loads(make_vectors.FILE.read_text(encoding="utf-8"))
SECRET = bytes.fromhex(VECTORS["secret_hex"])
KEY = bytes.fromhex(VECTORS["term_key_hex"])
RING = KeyRing(SECRET, VECTORS["session_id"], VECTORS["term"])


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def as_beacon(row: dict[str, Any]) -> Beacon:
    special = {
        "state": BeaconState(row["state"]),
        "playlist": bytes.fromhex(row["playlist"]),
        "clock_id": bytes.fromhex(row["clock_id"]),
    }
    return Beacon(**(row | special))


def assert_refused(case: dict[str, Any], opened: Callable[[bytes, KeyRing], object]) -> None:
    with pytest.raises(Refused) as caught:
        opened(bytes.fromhex(case["hex"]), RING)
    assert caught.value.reason.value == case["reason"]


def test_the_file_is_what_its_maker_makes() -> None:
    assert make_vectors.document() == VECTORS


def test_keys_and_fingerprint() -> None:
    assert derive_key(SECRET, VECTORS["session_id"], VECTORS["term"]) == KEY
    assert key_id(KEY).hex() == VECTORS["key_id_hex"]
    playlist = Playlist(tuple(MediaItem(**item) for item in VECTORS["playlist"]["items"]))
    assert playlist_fingerprint(playlist).hex() == VECTORS["playlist"]["fingerprint_hex"]


@pytest.mark.parametrize("case", named(VECTORS["beacons"]))
def test_beacons_travel_byte_for_byte(case: dict[str, Any]) -> None:
    beacon, data = as_beacon(case["beacon"]), bytes.fromhex(case["hex"])
    assert encode_beacon(beacon, derive_key(SECRET, beacon.session_id, beacon.term)) == data
    assert open_beacon(data, KeyRing(SECRET, beacon.session_id, beacon.term)) == beacon


@pytest.mark.parametrize("case", named(VECTORS["refused_beacons"]))
def test_refused_beacons_have_their_reason(case: dict[str, Any]) -> None:
    assert_refused(case, open_beacon)


def test_a_request_travels_byte_for_byte() -> None:
    row = VECTORS["probes"]["request"]
    request = ProbeRequest(row["term"], party_tag(row["sender"]), row["nonce"], row["own_sent_ns"])
    assert encode_request(request, RING).hex() == row["hex"]
    assert decode_request(bytes.fromhex(row["hex"]), RING) == request


@pytest.mark.parametrize("name", ["reply", "reply with the largest numbers"])
def test_a_reply_travels_byte_for_byte(name: str) -> None:
    row = VECTORS["probes"][name]
    reply = ProbeReply(
        row["term"],
        party_tag(row["sender"]),
        row["nonce"],
        row["own_sent_ns"],
        row["master_received_ns"],
        row["master_sent_ns"],
    )
    assert encode_reply(reply, RING).hex() == row["hex"]
    assert decode_reply(bytes.fromhex(row["hex"]), RING) == reply
    assert len(row["hex"]) <= len(VECTORS["probes"]["request"]["hex"])


@pytest.mark.parametrize("row", named(VECTORS["listens"]["good"]))
def test_listens_travel_byte_for_byte(row: dict[str, Any]) -> None:
    request = ListenRequest(
        term=row["term"],
        sender=party_tag(row["sender"]),
        clock_id=bytes.fromhex(row["clock_id"]),
        own_ns=row["own_ns"],
        lease_ms=row["lease_ms"],
    )
    assert encode_listen(request, RING).hex() == row["hex"]
    assert decode_listen(bytes.fromhex(row["hex"]), RING) == request


@pytest.mark.parametrize("case", named(VECTORS["probes"]["refused_requests"]))
def test_refused_requests_have_their_reason(case: dict[str, Any]) -> None:
    assert_refused(case, decode_request)


@pytest.mark.parametrize("case", named(VECTORS["probes"]["refused_replies"]))
def test_refused_replies_have_their_reason(case: dict[str, Any]) -> None:
    assert_refused(case, decode_reply)


@pytest.mark.parametrize("case", named(VECTORS["listens"]["refused"]))
def test_refused_listens_have_their_reason(case: dict[str, Any]) -> None:
    assert_refused(case, decode_listen)


def test_forged_later_terms_push_no_key_out_of_a_ring() -> None:
    ring, good = KeyRing(SECRET, RING.session_id, RING.lowest_term), VECTORS["beacons"][0]["hex"]
    open_beacon(bytes.fromhex(good), ring)
    known = dict(ring._known)
    [forged] = [c for c in VECTORS["refused_beacons"] if c["name"] == "a forged later term"]
    [unsigned] = [c for c in VECTORS["refused_beacons"] if c["name"] == "a later term, not signed"]
    for case in (forged, unsigned):
        assert_refused(case, lambda data, _: open_beacon(data, ring))
    assert list(known) == [RING.lowest_term]
    assert ring._known == known


def test_the_same_bytes_are_read_once_and_forged_ones_each_time() -> None:
    ring = KeyRing(SECRET, RING.session_id, RING.lowest_term)
    good = bytes.fromhex(VECTORS["beacons"][0]["hex"])
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    opened = open_beacon(good, ring)
    assert open_beacon(bytes(bytearray(good)), ring) is opened
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            open_beacon(forged, ring)
        assert caught.value.reason is Reason.SIGNATURE
    with pytest.raises(Refused):  # what one ring has verified is nothing to another
        open_beacon(good, KeyRing(b"another", RING.session_id, RING.lowest_term))


def test_the_same_bytes_are_refused_once_their_term_is_past() -> None:
    ring = KeyRing(SECRET, RING.session_id, RING.lowest_term)
    good = bytes.fromhex(VECTORS["beacons"][0]["hex"])
    ring.lowest_term = open_beacon(good, ring).term + 1
    with pytest.raises(Refused) as caught:
        open_beacon(good, ring)
    assert caught.value.reason is Reason.OLD_TERM
