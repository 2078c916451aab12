"""Signed commands: whoever relays one to a device can neither change nor invent it.

The key is the device's own, given out with its secret at enrolment, and never sent again: the
secret itself goes with every call, so whoever relays those knows it. What is signed is the
command's canonical JSON: keys in order, no spaces, UTF-8 (as RFC 8785 has it for the whole
numbers, texts and nulls that commands consist of).
"""

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SIGNATURE = "signature"
KEY_BYTES = 32


def command_key(text: str) -> bytes:
    """The key of a device's commands from its hexadecimal text; ValueError when it is none."""
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of commands has {KEY_BYTES} bytes, not {len(key)}")
    return key


def split_secret(enrolled: str) -> tuple[str, bytes]:
    """What enrolment gave out, as what is sent with calls, and the key of commands, which is not.

    ValueError when it has no key.
    """
    secret, _, key = enrolled.rpartition(".")
    if "." not in secret:
        raise ValueError("there is no key of commands in it")
    return secret, command_key(key)


def sign(command: Mapping[str, Any], key: bytes) -> str:
    """The signature of a command (without one, or whatever it has), hexadecimal."""
    return hmac.digest(key, _canonical(command), sha256).hex()


def is_signed(command: Mapping[str, Any], key: bytes) -> bool:
    """Whether the command carries the signature of exactly what it says."""
    given = command.get(SIGNATURE)
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(sign(command, key).encode(), given.encode())


def _canonical(command: Mapping[str, Any]) -> bytes:
    body = {name: value for name, value in command.items() if name != SIGNATURE}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")
