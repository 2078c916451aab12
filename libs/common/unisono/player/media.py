"""Which file stands behind each uri, and what has been learnt of it."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unisono.core.timeline import MediaItem, Playlist
from unisono.player.edl import Source
from unisono.player.protocol import MediaError


def local_path(uri: str) -> Path | None:
    """The file that ``uri`` (a path or a ``file://`` address) names; None for other addresses."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri)


class Sources:
    """Resolves uris to what the player opens, and remembers if a film has sound.

    A uri is a path (relative ones start at ``media_dir``), a ``file://`` address, or any other
    address, which is left to the player. What was learnt is forgotten when the file changes.
    """

    def __init__(self, media_dir: Path) -> None:
        self._media_dir = media_dir
        self._learnt: dict[str, tuple[tuple[int, int], Source]] = {}

    def path(self, uri: str) -> Path | None:
        """The local file, None for an address that is none."""
        path = local_path(uri)
        return None if path is None else (self._media_dir / path).absolute()

    def address(self, uri: str) -> str:
        """What the player is told to open."""
        path = self.path(uri)
        return uri if path is None else str(path)

    def require(self, playlist: Playlist) -> None:
        """MediaError for a playlist that is empty or has a file that cannot be read."""
        if not playlist.items or playlist.length_ns <= 0:
            raise MediaError("the playlist is empty: give it at least one film")
        for item in playlist.items:
            self._require_item(item)

    def _require_item(self, item: MediaItem) -> None:
        if item.duration_ns <= 0:
            raise MediaError(f"{item.uri}: its duration is not positive; mend the playlist")
        path = self.path(item.uri)
        if path is None:
            return
        if not path.is_file():
            raise MediaError(f"{path}: no such file on this device; copy it there")
        if not os.access(path, os.R_OK):
            raise MediaError(f"{path}: not readable by this user; change its permissions")

    def known(self, uri: str) -> bool:
        """If `learn` was told of this very file."""
        return uri in self._learnt and self._learnt[uri][0] == self._stamp(uri)

    def learn(self, uri: str, *, has_sound: bool) -> None:
        """Remember what the player found in the film."""
        self._learnt[uri] = (self._stamp(uri), Source(self.address(uri), has_sound))

    def table(self) -> dict[str, Source]:
        """Everything learnt, by uri."""
        return {uri: source for uri, (_, source) in self._learnt.items()}

    def _stamp(self, uri: str) -> tuple[int, int]:
        path = self.path(uri)
        if path is None:
            return (0, 0)
        try:
            status = path.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)
