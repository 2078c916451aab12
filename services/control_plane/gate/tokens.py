"""Secrets and tokens: ``SITE.RANDOM``, shown once, kept as a hash, compared in constant time.

The site inside the text saves a lookup; it grants nothing, since the hash covers all of it.
"""

import hashlib
import hmac
import re
import secrets

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def new_token(site: str) -> str:
    """A fresh secret of that site, 192 bits of randomness."""
    return f"{site}.{secrets.token_urlsafe(24)}"


def digest_of(token: str) -> str:
    """What is kept of it. A plain hash is enough: there is nothing to guess in 192 bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def site_of(token: str) -> str | None:
    """The site that a token names; None when it is no token."""
    site, dot, rest = token.partition(".")
    return site if dot and rest and NAME.fullmatch(site) else None


def same(one: str, other: str) -> bool:
    """Equality that takes as long whatever the difference."""
    return hmac.compare_digest(one.encode(), other.encode())


def new_session_id(site: str) -> str:
    """A session's id; the site can be read back from it (`site_of_session`)."""
    return f"{site}-{secrets.token_hex(5)}"


def site_of_session(session_id: str) -> str | None:
    """The site of a session; None when that is no id of a session."""
    site, dash, rest = session_id.rpartition("-")
    return site if dash and rest and NAME.fullmatch(site) else None
