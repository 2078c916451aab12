"""The player as the corrector sees it: load, cue, play, speed, seek, and a clock to read.

Every position is a phase on the playlist's timeline, ns, in [0, length): how a playlist maps
to files, and how a loop is made, is the player's own business.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from unisono.core.playerstate import PlayerSample, PlayerTraits
from unisono.core.timeline import Playlist


class PlayerError(Exception):
    """A player that could not do what was asked; the message is one sentence for an operator.

    PlayerError
     +-- PlayerGone        not connected, died or hung; retry when it is back
     +-- MediaError        the playlist cannot be played: a file is missing or unreadable
    """


class PlayerGone(PlayerError):  # noqa: N818 - says what happened, as the others do
    """The player is not there: not connected yet, died, or does not answer."""


class MediaError(PlayerError):
    """The playlist cannot be played; says which file and why."""


class EventKind(StrEnum):
    """What happens to a player by itself."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # died, or closed its socket
    HUNG = "hung"  # connected, but no reply in time; the connection is dropped
    MEDIA_FAILED = "media_failed"  # a file ended in an error while playing
    ENDED = "ended"  # playback reached an end it should never reach


@dataclass(frozen=True, slots=True)
class PlayerEvent:
    """One event, with a sentence for the log."""

    kind: EventKind
    detail: str = ""


class Player(Protocol):
    """One player. All methods raise `PlayerGone` until it is connected and known (CONNECTED).

    Methods never wait longer than a few seconds: a player that does not answer is dropped
    (`EventKind.HUNG`), and the implementation keeps reconnecting until `close`.
    """

    async def open(self) -> None:
        """Start connecting in the background; returns at once. `events` tells the outcome."""
        ...

    async def close(self) -> None:
        """Disconnect. The player itself goes on with what it does: its picture never stops."""
        ...

    def events(self) -> AsyncIterator[PlayerEvent]:
        """Events since `open`, in order; one consumer. Ends at `close`."""
        ...

    async def load(self, playlist: Playlist, phase_ns: int = 0) -> None:
        """Load, paused and cued: returns when the frame at ``phase_ns`` is on screen.

        MediaError when a file is missing or unreadable. If the player already has this very
        playlist (another process loaded it before), nothing is reloaded: see `holds`.
        """
        ...

    @property
    def holds(self) -> str:
        """The fingerprint (`fingerprint_of`) of what is loaded, known without asking.

        Right from CONNECTED on; "" for nothing, for something foreign, and while not connected;
        never raises. It is kept in the player itself, so that a restarted process finds a picture
        that is already running and takes it over without a cut.
        """
        ...

    @property
    def version(self) -> str:
        """Name and version of the player, known without asking; "" until it is connected."""
        ...

    async def play(self) -> None:
        """Unpause now."""
        ...

    async def pause(self) -> None:
        """Pause now."""
        ...

    async def stop(self) -> None:
        """Unload: black screen, idle."""
        ...

    async def set_speed(self, speed: float) -> None:
        """Playback speed, 1.0 is normal; takes effect after ``traits().speed_delay_ns``."""
        ...

    async def seek(self, phase_ns: int) -> None:
        """Exact seek; returns when the command is accepted. The next samples say SEEKING."""
        ...

    async def sample(self) -> PlayerSample:
        """Read the player's clock once."""
        ...

    def traits(self) -> PlayerTraits:
        """Delays and costs as known now (learnt values replace the defaults)."""
        ...


def fingerprint_of(playlist: Playlist) -> str:
    """A short text that two playlists share only if they have the same items in one order."""
    return "|".join(f"{item.uri}@{item.duration_ns}" for item in playlist.items)
