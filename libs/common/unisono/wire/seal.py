"""Signed commands: whoever relays one to a device can neither change nor invent it.

The key is derived from the device's own secret, so no other device has it; the control plane
keeps only the secret's hash, and derives the same key from that. What is signed is the command's
canonical JSON: keys in order, no spaces, UTF-8 (as RFC 8785 has it for the whole numbers, texts
and nulls that commands consist of).
"""

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SIGNATURE = "signature"
_CONTEXT = b"unisono command v1"


def command_key(secret_sha256: str) -> bytes:
    """The 32 byte key of a device's commands, from the hexadecimal SHA-256 of its secret."""
    return hmac.digest(bytes.fromhex(secret_sha256), _CONTEXT, sha256)


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
