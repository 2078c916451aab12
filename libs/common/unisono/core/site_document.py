"""What the control plane knows of a site's sessions: documents, requests, answers; all frozen."""

from dataclasses import dataclass, field
from enum import StrEnum

from unisono.core.commands import Command
from unisono.core.session import Member, SessionSpec
from unisono.core.timeline import Playlist


class SessionState(StrEnum):
    """Where a session is in its life."""

    PREPARING = "preparing"  # its start lies ahead
    PLAYING = "playing"
    STOPPED = "stopped"


class SessionEvent(StrEnum):
    """What moves a session from state to state."""

    START_DUE = "start_due"
    STOP = "stop"


# The whole state machine; a pair that is absent is an illegal move.
TRANSITIONS: dict[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.PREPARING, SessionEvent.START_DUE): SessionState.PLAYING,
    (SessionState.PREPARING, SessionEvent.STOP): SessionState.STOPPED,
    (SessionState.PLAYING, SessionEvent.STOP): SessionState.STOPPED,
}


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure
    """A request that cannot be granted: ``code`` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as the control plane keeps it.

    ``spec`` is what devices are told, with ``revision`` (of the newest PREPARE). ``lease_ms`` is
    the master's lease, unless its own heartbeats are rarer; it is counted from when the master
    was last heard of, and not from before ``lease_from_ms`` (its election, or the end of a time
    in which nobody was heard of). ``master_boot_id`` is the boot in which it leads the term
    ("": not known yet), ``term_reason`` why the term began. An ended session has no secret.
    """

    spec: SessionSpec
    state: SessionState
    revision: int
    created_ms: int
    lease_ms: int
    lease_from_ms: int
    master_boot_id: str = ""
    term_reason: str = ""
    pinned: str = ""
    ended_ms: int | None = None
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class SiteDocument:
    """The sessions that run at one site, and the revision of the newest change."""

    revision: int = 0
    sessions: tuple[SessionRecord, ...] = ()

    def session(self, session_id: str) -> SessionRecord | None:
        """The running session of that id."""
        return next((r for r in self.sessions if r.spec.session_id == session_id), None)

    def session_of(self, device_id: str) -> SessionRecord | None:
        """The running session that the device is a member of; there is one at most."""
        return next((r for r in self.sessions if r.spec.member(device_id) is not None), None)


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """An enrolled device, as the cloud knows it from its calls.

    ``place`` is its LAN address (None: it never sent a heartbeat), ``seen_ms`` when it was last
    heard of, ``interval_ms`` how often it sends heartbeats (0: it has not said), ``boot_id`` its
    present boot. ``in_lan`` is the session and term whose beat it said that it hears on the LAN
    (None: none), ``said_ms`` when it said so.
    """

    device_id: str
    place: Member | None
    seen_ms: int | None
    interval_ms: int = 0
    boot_id: str = ""
    in_lan: tuple[str, int] | None = None
    said_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A request for a session. The shell draws ``session_id`` and ``secret_hex``."""

    session_id: str
    secret_hex: str
    device_ids: tuple[str, ...]
    playlist: Playlist
    start_delay_ms: int
    lease_ms: int
    replace: bool = False
    pinned: str = ""
    flags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What a device says that it holds now; nothing: no session, term 0, revision 0."""

    session_id: str = ""
    term: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The next document, the commands by device, the sessions that ended, what to count."""

    site: SiteDocument
    commands: tuple[tuple[str, Command], ...] = ()
    ended: tuple[SessionRecord, ...] = ()
    events: tuple[str, ...] = ()
