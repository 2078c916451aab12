"""What the control plane knows of a site: documents, requests, answers; all frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unisono.core.commands import Command
from unisono.core.session import Member, SessionSpec
from unisono.core.session_state import SessionState
from unisono.core.timeline import Playlist


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure
    """A request that cannot be granted: ``code`` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SiteFlags:
    """The ``SYNC_*`` values that operators have set, as text: for the site, and by device.

    ``version`` grows by one at each change. A device's values win over the site's, those asked
    for with a session win over both, and what nobody has set has its default.
    """

    version: int = 0
    site: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, device_id: str, asked: Mapping[str, str] | None = None) -> dict[str, str]:
        """What holds for one device in a session that was ``asked`` for with these flags."""
        return {**self.site, **self.devices.get(device_id, {}), **(asked or {})}


@dataclass(frozen=True, slots=True)
class Change:
    """That a member showed another boot or place (``what``) than the one before, ``was``."""

    device_id: str
    what: str
    was: str
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as the control plane keeps it.

    ``spec`` is what devices are told, with ``revision`` (of the newest PREPARE, or of the STOP);
    its ``flags`` are those that the session was asked for with: each device's own are worked out
    when it is told (`SiteFlags.of`). ``state`` is the state at the last change, and the one of
    now is computed when read (`session_state.state_at`). ``obeyed`` says that some member has
    obeyed once: counts of answers are forgotten in time, this is not.

    ``lease_ms`` is the master's lease, unless its own heartbeats are rarer; it is counted from
    when the master was last heard of, and not from before ``lease_from_ms`` (its election, or the
    end of a time in which nobody was heard of). ``silent_ms`` is when it was noted that nobody is
    heard of; it counts until the master is heard of, or given time.

    ``term_from_ms`` is when the term began, for ``term_reason``; ``master_boot_id`` is the boot in
    which the master leads it ("": not known yet). ``moved_ms`` holds when the lead moved by itself
    lately, oldest first: a lead that moves often moves less and less. ``voted_out_ms`` holds the
    masters that most others did not hear, and when they were voted out: no vote gives the lead back
    to them for a while, and not before it was noted that the LAN is heard again, at ``heard_ms``.
    ``heard_by`` is how many members heard a master at most since the first of them was voted out.

    ``changes`` are the members' last changes of boot or place, oldest first, and ``shared_ms`` who
    seems to be two machines, and when that was last seen (`presence`). While nobody has obeyed,
    ``looked_ms`` is when somebody last looked after the start, and ``waits_from_ms`` is from when
    devices have had the time to take the session up (`reissue.looked_at`).

    ``stopping_ms`` is when the STOP was given, ``stops`` to how many members (those that another
    session took over are told to play that). An ended session has no secret.
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
    term_from_ms: int = 0
    silent_ms: int = 0
    moved_ms: tuple[int, ...] = ()
    voted_out_ms: Mapping[str, int] = field(default_factory=dict)
    heard_ms: int = 0
    heard_by: int = 0
    changes: tuple[Change, ...] = ()
    shared_ms: Mapping[str, int] = field(default_factory=dict)
    created_by: str = ""
    obeyed: bool = False
    looked_ms: int = 0
    waits_from_ms: int = 0
    stopping_ms: int | None = None
    stops: int = 0
    ended_ms: int | None = None
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class SiteDocument:
    """The sessions that run (or stop) at one site, its flags, the revision of the newest change.

    ``refused_ms`` is when it was last said of a device that its claims are refused (`claims`).
    Change it with `dataclasses.replace`, never by building it anew: what is not named is kept.
    """

    revision: int = 0
    sessions: tuple[SessionRecord, ...] = ()
    flags: SiteFlags = SiteFlags()
    refused_ms: Mapping[str, int] = field(default_factory=dict)

    def session(self, session_id: str) -> SessionRecord | None:
        """The session of that id, running or stopping."""
        return next((r for r in self.sessions if r.spec.session_id == session_id), None)

    def session_of(self, device_id: str) -> SessionRecord | None:
        """The session that the device shall play; there is one at most. Not one that stops."""
        return next(
            (
                r
                for r in self.sessions
                if r.state is not SessionState.STOPPING and r.spec.member(device_id) is not None
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a follower says of the beat: whether it hears the master of that term on the LAN."""

    session_id: str
    term: int
    hears: bool


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """An enrolled device, as the cloud knows it from its calls.

    ``place`` is its LAN address (None: it never sent a heartbeat), ``seen_ms`` when it was last
    heard of, ``interval_ms`` how often it sends heartbeats (0: it has not said), ``boot_id`` its
    present boot. ``hearing`` is what it last said of the beat (None: nothing), ``said_ms`` when.
    ``wired`` and ``clock_healthy`` are None where it has not said.
    """

    device_id: str
    place: Member | None
    seen_ms: int | None
    interval_ms: int = 0
    boot_id: str = ""
    hearing: Hearing | None = None
    said_ms: int | None = None
    wired: bool | None = None
    clock_healthy: bool | None = None


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
    who: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What a device says that it holds now; nothing: no session, term 0, revision 0."""

    session_id: str = ""
    term: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class SiteEvent:
    """Something that happened at a site: counted by ``kind``, and kept in the site's event log.

    ``who`` is the account that caused it ("": nobody did, it came about). ``at_ms`` is server
    time, or for what a device told, when it says that it happened.
    """

    kind: str
    at_ms: int
    session_id: str = ""
    term: int = 0
    device_id: str = ""
    who: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next document, the commands by device, the sessions that ended, what happened."""

    site: SiteDocument
    commands: tuple[tuple[str, Command], ...] = ()
    ended: tuple[SessionRecord, ...] = ()
    events: tuple[SiteEvent, ...] = ()
