"""Keys and signatures: one key for each term, derived from the session's secret."""

import hmac
from collections import OrderedDict
from functools import lru_cache
from hashlib import sha256

from unisono.wire.refusal import Reason, Refused

KEY_LABEL = b"unisono/1 term key"
KEY_ID_LABEL = b"unisono/1 key id"
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 16
MAX_TERM = 2**63 - 1
MIN_SECRET_BYTES = 16

# A ring remembers the keys of a few terms: forged terms must not fill the memory.
_REMEMBERED_TERMS = 4


def derive_key(secret: bytes, session_id: str, term: int) -> bytes:
    """The 32-byte key of one term.

    HMAC-SHA-256 under ``secret`` of: label, a zero byte, the session's id in UTF-8, a zero
    byte, the term as 8 bytes big-endian.
    """
    message = b"\0".join((KEY_LABEL, session_id.encode(), term.to_bytes(8, "big")))
    return hmac.digest(secret, message, "sha256")


@lru_cache(maxsize=16)
def key_id(key: bytes) -> bytes:
    """4 bytes that name a key without giving it away; they tell a wrong key from a forgery."""
    return hmac.digest(key, KEY_ID_LABEL, "sha256")[:KEY_ID_BYTES]


def sign(key: bytes, message: bytes) -> bytes:
    """The first 16 bytes of HMAC-SHA-256 of ``message``."""
    return hmac.digest(key, message, "sha256")[:SIGNATURE_BYTES]


def check_signature(key: bytes, named_key_id: bytes, message: bytes, signature: bytes) -> None:
    """Compare in constant time; `Refused` as UNKNOWN_KEY or SIGNATURE."""
    if not hmac.compare_digest(named_key_id, key_id(key)):
        raise Refused(Reason.UNKNOWN_KEY, "another secret, or another term's key")
    if not hmac.compare_digest(signature, sign(key, message)):
        raise Refused(Reason.SIGNATURE, "the bytes were changed, or the sender has no key")


def session_tag(session_id: str) -> bytes:
    """8 bytes that stand for a session's id where a message must have a fixed size."""
    return sha256(b"session\0" + session_id.encode()).digest()[:8]


class KeyRing:
    """The keys of one session: any term from ``lowest_term`` on.

    The session's secret is enough for the key of a later term, so that a message of a new
    master can be verified before the cloud has told of the new term.
    """

    def __init__(self, secret: bytes, session_id: str, lowest_term: int) -> None:
        self.session_id = session_id
        self.session_tag = session_tag(session_id)
        self.lowest_term = lowest_term
        self._secret = secret
        self._keys: OrderedDict[int, bytes] = OrderedDict()

    def key_of(self, session_id: str, term: int) -> bytes:
        """The key of ``term``; `Refused` when the session is another or the term is past."""
        if session_id != self.session_id:
            raise Refused(Reason.FOREIGN_SESSION, session_id)
        return self.key_of_term(term)

    def key_of_term(self, term: int) -> bytes:
        """The key of ``term``; `Refused` when that term is past."""
        if term < self.lowest_term:
            raise Refused(Reason.OLD_TERM, f"term {term}, now {self.lowest_term}")
        if (key := self._keys.get(term)) is None:
            key = self._keys[term] = derive_key(self._secret, self.session_id, term)
            if len(self._keys) > _REMEMBERED_TERMS:
                self._keys.popitem(last=False)
        return key
