"""Fingerprint of a playlist: 8 bytes that two devices share only if they play the same."""

import struct
from hashlib import sha256

from unisono.core.timeline import Playlist

FINGERPRINT_BYTES = 8


def playlist_fingerprint(playlist: Playlist) -> bytes:
    """First 8 bytes of SHA-256 over the items in order.

    An item is: its duration as 8 bytes big-endian (ns), then its fingerprint and its URI, each
    in UTF-8 behind a length of 4 bytes big-endian.
    """
    digest = sha256()
    for item in playlist.items:
        digest.update(struct.pack(">Q", item.duration_ns))
        for text in (item.fingerprint.encode(), item.uri.encode()):
            digest.update(struct.pack(">I", len(text)) + text)
    return digest.digest()[:FINGERPRINT_BYTES]
