"""Signed commands: whatever is changed on the way is found out, and the order of keys is free."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.wire.seal import command_key, is_signed, sign, split_secret

KEY = command_key("5e" * 32)
COMMAND: dict[str, Any] = {
    "command_id": "lobby-1.5.prepare",
    "device_id": "screen-1",
    "kind": "SYNC_PREPARE",
    "seq": 5,
    "term": 2,
    "session": {"members": [{"device_id": "screen-1"}], "flags": {}, "playlist": "café"},
}
texts = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def signed(key: bytes = KEY, **changes: Any) -> dict[str, Any]:
    command = COMMAND | changes
    return command | {"signature": sign(command, key)}


def test_what_was_signed_is_accepted() -> None:
    assert is_signed(signed(), KEY)


def test_the_signature_can_be_made_without_this_code() -> None:
    """As `docs/control-plane.md` says it, for devices of other makes."""
    text = json.dumps(COMMAND, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sign(COMMAND, KEY) == hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def test_enrolment_gives_a_secret_to_send_and_a_key_to_keep() -> None:
    secret, key = split_secret(f"lobby.random.{KEY.hex()}")
    assert (secret, key) == ("lobby.random", KEY)


@pytest.mark.parametrize("text", ["", "lobby", "lobby.random", "lobby.random.5e", "a.b.xyz"])
def test_a_secret_without_a_key_is_found_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|hexadecimal|hex"):
        split_secret(text)


@pytest.mark.parametrize(
    "change",
    [{"seq": 6}, {"device_id": "screen-2"}, {"session": None}, {"term": "2"}, {"more": 1}],
)
def test_a_changed_command_is_refused(change: dict[str, Any]) -> None:
    assert not is_signed(signed() | change, KEY)


@pytest.mark.parametrize("signature", [None, 7, "", "00" * 32, "é" * 64])
def test_no_signature_or_nonsense_is_refused(signature: object) -> None:
    assert not is_signed(COMMAND | {"signature": signature}, KEY)
    assert not is_signed(COMMAND, KEY)


def test_another_devices_key_does_not_fit() -> None:
    other = command_key("07" * 32)
    assert not is_signed(signed(key=other), KEY)


@given(st.dictionaries(st.text(), texts, max_size=5))
def test_it_survives_json_and_another_order_of_keys(body: dict[str, Any]) -> None:
    body.pop("signature", None)
    sent = body | {"signature": sign(body, KEY)}
    came = json.loads(json.dumps(dict(reversed(sent.items()))))
    assert is_signed(came, KEY)
