"""Keys and signatures: one key for each term, derived from the session's secret."""

import hmac
from hashlib import sha256
from typing import NamedTuple

from unisono.wire.refusal import Reason, Refused

KEY_LABEL = b"unisono/1 term key"
KEY_ID_LABEL = b"unisono/1 key id"
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 16
MAX_TERM = 2**63 - 1
MIN_SECRET_BYTES = 16

# The present term, and one or two on either side of a change of master.
_REMEMBERED_TERMS = 4


def derive_key(secret: bytes, session_id: str, term: int) -> bytes:
    """The 32-byte key of one term.

    HMAC-SHA-256 under ``secret`` of: label, a zero byte, the session's id in UTF-8, a zero
    byte, the term as 8 bytes big-endian.
    """
    message = b"\0".join((KEY_LABEL, session_id.encode(), term.to_bytes(8, "big")))
    return hmac.digest(secret, message, "sha256")


def key_id(key: bytes) -> bytes:
    """4 bytes that name a key without giving it away; they tell a wrong key from a forgery."""
    return hmac.digest(key, KEY_ID_LABEL, "sha256")[:KEY_ID_BYTES]


def sign(key: bytes, message: bytes) -> bytes:
    """The first 16 bytes of HMAC-SHA-256 of ``message``."""
    return hmac.digest(key, message, "sha256")[:SIGNATURE_BYTES]


def session_tag(session_id: str) -> bytes:
    """8 bytes that stand for a session's id where a message must have a fixed size."""
    return sha256(b"session\0" + session_id.encode()).digest()[:8]


class _TermKey(NamedTuple):
    """The key of one term, and the 4 bytes that name it."""

    key: bytes
    key_id: bytes


class KeyRing:
    """The keys of one session: any term from ``lowest_term`` on.

    The session's secret is enough for the key of a later term, so that a message of a new
    master can be verified before the cloud has told of the new term. Such a key is derived anew
    for each message that claims the term, and kept once one was really signed with it: forged
    terms cost two short HMACs each, and never push a key in use out of the memory.
    """

    def __init__(self, secret: bytes, session_id: str, lowest_term: int) -> None:
        self.session_id = session_id
        self.session_tag = session_tag(session_id)
        self.lowest_term = lowest_term
        self._secret = secret
        self._known: dict[int, _TermKey] = {}

    def key_of_term(self, term: int) -> bytes:
        """The key to sign with in ``term``; `Refused` when that term is past."""
        found = self._find(term)
        self._keep(term, found)
        return found.key

    def verify(self, term: int, named_key_id: bytes, message: bytes, signature: bytes) -> None:
        """Compare in constant time; `Refused` as OLD_TERM, UNKNOWN_KEY or SIGNATURE."""
        found = self._find(term)
        if not hmac.compare_digest(named_key_id, found.key_id):
            raise Refused(Reason.UNKNOWN_KEY, "another secret, or another term's key")
        if not hmac.compare_digest(signature, sign(found.key, message)):
            raise Refused(Reason.SIGNATURE, "the bytes were changed, or the sender has no key")
        self._keep(term, found)

    def check_term(self, term: int) -> None:
        """`Refused` as OLD_TERM when that term is past."""
        if term < self.lowest_term:
            raise Refused(Reason.OLD_TERM, f"term {term}, now {self.lowest_term}")

    def _find(self, term: int) -> _TermKey:
        self.check_term(term)
        if (known := self._known.get(term)) is not None:
            return known
        key = derive_key(self._secret, self.session_id, term)
        return _TermKey(key, key_id(key))

    def _keep(self, term: int, found: _TermKey) -> None:
        if term not in self._known:
            if len(self._known) >= _REMEMBERED_TERMS:
                del self._known[next(iter(self._known))]
            self._known[term] = found
