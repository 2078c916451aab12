"""What is known of a player: frozen observations, in the timeline's own terms (phase)."""

from dataclasses import dataclass
from enum import StrEnum

from unisono.core.units import OwnNs


class PlayerState(StrEnum):
    """What the player is doing, as its last reply says."""

    ABSENT = "absent"  # no connection, or no answer in time
    IDLE = "idle"  # connected, no playlist loaded
    CUED = "cued"  # paused, the frame of its phase on screen
    PLAYING = "playing"
    SEEKING = "seeking"  # loading or seeking: its clock means nothing now


@dataclass(frozen=True, slots=True)
class PlayerSample:
    """One reading of the player's clock.

    ``phase_ns`` is the position on the playlist's timeline, wrapped at its length, at the own
    clock's ``at_own_ns`` (the middle of the exchange); ``uncertainty_ns`` is half the round
    trip plus the source's own error. ``phase_ns`` is None while there is no clock to read.
    """

    at_own_ns: OwnNs
    state: PlayerState
    phase_ns: int | None
    speed: float
    uncertainty_ns: int


@dataclass(frozen=True, slots=True)
class PlayerTraits:
    """What a player is known or has been learnt to need; the controller models these delays.

    ``speed_delay_ns``: from a speed command to the change of slope. ``start_lead_ns``: how far
    ahead of the cued phase the player's clock runs right after unpausing. ``seek_cost_ns``:
    from a seek command until the picture runs from its target.
    """

    speed_delay_ns: int
    start_lead_ns: int
    seek_cost_ns: int
    frame_ns: int
