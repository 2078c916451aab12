"""Bytes on the LAN and the frozen types they stand for; no sockets here.

``docs/protocol.md`` is normative; ``tests/vectors`` holds byte-exact examples of it.
"""

from unisono.wire.beacon import Beacon, BeaconState, encode_beacon, open_beacon
from unisono.wire.fingerprint import playlist_fingerprint
from unisono.wire.judge import BeaconJudge, Verdict, first_seq
from unisono.wire.keys import KeyRing, derive_key, key_id
from unisono.wire.listen import ListenRequest, decode_listen, encode_listen
from unisono.wire.probe import (
    ProbeReply,
    ProbeRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    party_tag,
)
from unisono.wire.refusal import Reason, Refused

__all__ = [
    "Beacon",
    "BeaconJudge",
    "BeaconState",
    "KeyRing",
    "ListenRequest",
    "ProbeReply",
    "ProbeRequest",
    "Reason",
    "Refused",
    "Verdict",
    "decode_listen",
    "decode_reply",
    "decode_request",
    "derive_key",
    "encode_beacon",
    "encode_listen",
    "encode_reply",
    "encode_request",
    "first_seq",
    "key_id",
    "open_beacon",
    "party_tag",
    "playlist_fingerprint",
]
