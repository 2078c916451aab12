"""Sites, devices and sessions for tests of the control plane's decisions, and a shell for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from unisono.core import control_session, leadership
from unisono.core.commands import Command
from unisono.core.reissue import joined
from unisono.core.session import Member
from unisono.core.session_state import Progress
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    NewSession,
    SessionRecord,
    SiteDocument,
    SiteEvent,
)
from unisono.core.timeline import MediaItem, Playlist

NOW_MS = 1_780_000_000_000
LEASE_MS = 15_000
FILM = Playlist((MediaItem("film.mp4", 10_000_000_000),))


def known(*names: str, seen_ms: int | None = NOW_MS) -> dict[str, KnownDevice]:
    """Devices that have called once, at ``seen_ms``."""
    return {n: KnownDevice(n, Member(n, "10.0.0.1", 7600, 7601), seen_ms) for n in names}


def asked(*names: str, session_id: str = "s-1", **changes: object) -> NewSession:
    """A request for a session of these devices."""
    new = NewSession(session_id, "00ff", names, FILM, start_delay_ms=5000, lease_ms=LEASE_MS)
    return replace(new, **changes)  # type: ignore[arg-type]


def playing(*names: str) -> SiteDocument:
    """A site where these devices have been asked to play; the first of them leads."""
    return control_session.create(SiteDocument(), asked(*names), known(*names), now_ms=NOW_MS).site


def kinds(decision: Decision) -> tuple[str, ...]:
    """What happened, in short."""
    return tuple(event.kind for event in decision.events)


@dataclass
class Cloud:
    """What the shell does, without a store: it keeps what decisions lead to and devices say.

    ``leads`` says until when nobody need look at all devices; ``looks`` counts how often
    somebody did.
    """

    document: SiteDocument = field(default_factory=SiteDocument)
    devices: dict[str, KnownDevice] = field(default_factory=dict)
    queues: dict[str, dict[str, Command]] = field(default_factory=dict)
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    ended: dict[str, SessionRecord] = field(default_factory=dict)
    leads: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    events: list[SiteEvent] = field(default_factory=list)

    def apply(self, decision: Decision) -> None:
        """Make a decision durable."""
        self.document = decision.site
        for device_id, command in decision.commands:
            self.queues.setdefault(device_id, {})[command.command_id] = command
        for record in decision.ended:
            assert record.spec.session_id not in self.ended
            self.ended[record.spec.session_id] = record
            self.leads.pop(record.spec.session_id, None)
        self.events.extend(decision.events)

    def call(self, caller: KnownDevice, now_ms: int, *, look: bool = False) -> None:
        """A device calls: what is due, leases, and its boot; ``look``: without need, too."""
        made = control_session.settle_due(self.document, self.progress(), now_ms=now_ms)
        unheard = caller.hearing is not None and not caller.hearing.hears
        devices: Mapping[str, KnownDevice] | None = None
        if look or unheard or any(until_ms < now_ms for until_ms in self.leads.values()):
            self.looks += 1
            devices = self.devices
            led = leadership.renew_leases(made.site, devices, caller, now_ms=now_ms)
            made = joined(made, led)
        until = leadership.watch_until(made.site, devices, caller, now_ms=now_ms)
        name, boot_id = caller.device_id, caller.boot_id
        made = joined(made, leadership.note_boot(made.site, name, boot_id, now_ms=now_ms))
        self.apply(made)
        for record in self.document.sessions:
            session_id = record.spec.session_id
            if session_id in until:
                self.leads[session_id] = until[session_id]
            self.leads.setdefault(session_id, 0)
        self.devices[name] = caller

    def progress(self) -> dict[str, Progress]:
        """How the newest command of each session was answered."""
        return {r.spec.session_id: self.progress_of(r) for r in self.document.sessions}

    def progress_of(self, record: SessionRecord) -> Progress:
        """How the newest command of one session was answered."""
        session_id, revision = record.spec.session_id, record.revision
        return Progress(
            self.answers[session_id, revision, "done"],
            self.answers[session_id, revision, "failed"],
            sum(n for (s, _, how), n in self.answers.items() if (s, how) == (session_id, "done")),
        )
