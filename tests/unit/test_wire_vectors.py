"""The wire against its golden vectors, which share no code with it."""

import json
from typing import Any

import pytest

from tests.vectors import make_vectors
from unisono.core.timeline import MediaItem, Playlist
from unisono.wire import (
    Beacon,
    BeaconState,
    KeyRing,
    ProbeReply,
    ProbeRequest,
    Refused,
    decode_beacon,
    decode_reply,
    decode_request,
    derive_key,
    encode_beacon,
    encode_reply,
    encode_request,
    key_id,
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
    special = {"state": BeaconState(row["state"]), "playlist": bytes.fromhex(row["playlist"])}
    return Beacon(**(row | special))


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
    key = derive_key(SECRET, beacon.session_id, beacon.term)
    assert encode_beacon(beacon, key) == data
    assert decode_beacon(data, key) == beacon
    assert len(data) < 256


@pytest.mark.parametrize("case", named(VECTORS["refused_beacons"]))
def test_refused_beacons_have_their_reason(case: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        decode_beacon(bytes.fromhex(case["hex"]), KEY)
    assert caught.value.reason.value == case["reason"]


def test_probes_travel_byte_for_byte() -> None:
    row = VECTORS["probes"]["request"]
    request = ProbeRequest(
        VECTORS["term"], party_tag(row["sender"]), row["nonce"], row["own_sent_ns"]
    )
    assert encode_request(request, RING).hex() == row["hex"]
    assert decode_request(bytes.fromhex(row["hex"]), RING) == request
    row = VECTORS["probes"]["reply"]
    reply = ProbeReply(
        VECTORS["term"],
        party_tag(row["sender"]),
        row["nonce"],
        row["own_sent_ns"],
        row["master_received_ns"],
        row["master_sent_ns"],
    )
    assert encode_reply(reply, RING).hex() == row["hex"]
    assert decode_reply(bytes.fromhex(row["hex"]), RING) == reply
    assert len(encode_reply(reply, RING)) <= len(encode_request(request, RING))


@pytest.mark.parametrize("case", named(VECTORS["probes"]["refused_requests"]))
def test_refused_probes_have_their_reason(case: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        decode_request(bytes.fromhex(case["hex"]), RING)
    assert caught.value.reason.value == case["reason"]
