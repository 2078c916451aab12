"""Why a message from the LAN was not used: one exception, one reason each, for the counters."""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason for dropping a message; the values are the labels of the counters."""

    SIZE = "size"  # empty, too long, or not the fixed size
    MALFORMED = "malformed"  # not the encoding, or not its canonical form
    VERSION = "version"  # a version that this program does not speak
    FIELD = "field"  # a field missing, unknown, of a wrong type or out of its range
    FOREIGN_SESSION = "foreign_session"  # of another session
    UNKNOWN_KEY = "unknown_key"  # signed with a key that is not this session's and term's
    SIGNATURE = "signature"  # the signature does not fit the bytes
    OLD_TERM = "old_term"  # of a master that has been replaced
    WRONG_MASTER = "wrong_master"  # from a device that does not lead this term
    WRONG_PLAYLIST = "wrong_playlist"  # of another playlist
    DUPLICATE = "duplicate"  # a seq that was used already
    LATE = "late"  # a seq below the newest one, or held back on its way
    CLOCK_JUMP = "clock_jump"  # the sender's clock cannot have got there
    PHASE_JUMP = "phase_jump"  # the phase cannot have got there
    UNSOLICITED = "unsolicited"  # a reply to no probe of ours, or to one long past


class Refused(Exception):  # noqa: N818 - it says what happened
    """A message that is not used. ``reason`` is for the counters, ``detail`` for the log."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:  # put together when asked for only: a flood is counted, not read
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)
