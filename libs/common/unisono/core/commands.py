"""Commands from the cloud to a device: what they say, which are due, what they change.

Every change of a site's document has one revision, larger than all before it, and the commands
that it gives rise to carry that revision as ``seq``. A device that obeys the highest revision
that it has met is therefore right whatever is lost, repeated or comes late.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from unisono.core.session import Desired, Role, SessionSpec
from unisono.core.session_state import SessionState

if TYPE_CHECKING:
    # Documents are made of commands; only `filled` looks the other way.
    from unisono.core.site_document import SiteDocument

# A command that nobody fetched for an hour is stale news; a device that calls in later than
# that gets a fresh one, made from the session as it is then.
COMMAND_TTL_MS = 3_600_000


class CommandKind(StrEnum):
    """What the cloud can ask of a device."""

    PREPARE = "SYNC_PREPARE"
    STOP = "SYNC_STOP"


class AckOutcome(StrEnum):
    """How a device says that a command ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Command:
    """One command to one device.

    ``session`` is there in a PREPARE, None in a STOP; and None in a PREPARE that waits in a
    queue: `filled` takes it from the site's document when the command is delivered.
    """

    command_id: str
    kind: CommandKind
    seq: int
    issued_ms: int
    expires_ms: int
    session_id: str
    term: int
    session: SessionSpec | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """What a queue holds for a device: to deliver, in order, and to forget."""

    deliver: tuple[Command, ...]
    forget: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What a command made of the desired session, and what to tell the cloud."""

    desired: Desired | None
    outcome: AckOutcome
    detail: str


def prepare(spec: SessionSpec, revision: int, now_ms: int) -> Command:
    """``SYNC_PREPARE``: the same for every member of the session."""
    return Command(
        command_id=f"{spec.session_id}.{revision}.prepare",
        kind=CommandKind.PREPARE,
        seq=revision,
        issued_ms=now_ms,
        expires_ms=now_ms + COMMAND_TTL_MS,
        session_id=spec.session_id,
        term=spec.term,
        session=spec,
    )


def prepare_notice(spec: SessionSpec, revision: int, now_ms: int) -> Command:
    """``SYNC_PREPARE`` as it waits in a queue: `filled` gives it its session."""
    return replace(prepare(spec, revision, now_ms), session=None)


def filled(command: Command, site: "SiteDocument", device_id: str) -> Command | None:
    """A queued command as ``device_id`` is to get it; None: it is superseded.

    A PREPARE gets its session from the document, with the flags that hold for that device. The
    revision must be the present one: whatever has changed since has put another command there.
    """
    if command.kind is CommandKind.STOP:
        return command
    record = site.session(command.session_id)
    if record is None or record.state is SessionState.STOPPING:
        return None
    if record.revision != command.seq or record.spec.member(device_id) is None:
        return None
    flags = site.flags.of(device_id, record.spec.flags)
    session = replace(record.spec, flags=flags, flags_version=site.flags.version)
    return replace(command, session=session)


def stop(session_id: str, term: int, revision: int, now_ms: int) -> Command:
    """``SYNC_STOP`` of that session."""
    return Command(
        command_id=f"{session_id}.{revision}.stop",
        kind=CommandKind.STOP,
        seq=revision,
        issued_ms=now_ms,
        expires_ms=now_ms + COMMAND_TTL_MS,
        session_id=session_id,
        term=term,
    )


def pending(queue: Iterable[Command], *, after: int, now_ms: int) -> Pending:
    """The commands of a queue that are due: newer than ``after``, in force, not superseded.

    Each command says all that its device must do, so the newest supersedes those before it.
    """
    ordered = sorted(queue, key=lambda command: command.seq)
    live = [command for command in ordered if command.expires_ms > now_ms]
    newest = live[-1:]
    return Pending(
        deliver=tuple(command for command in newest if command.seq > after),
        forget=tuple(command for command in ordered if command not in newest),
    )


def spec_fault(spec: SessionSpec) -> str:
    """Why this session cannot be played, in one sentence; "" when it can."""
    ids = [member.device_id for member in spec.members]
    checks = (
        (not spec.session_id, "the session has no id"),
        (spec.term < 1, "the term is below 1"),
        (not ids, "the session has no members"),
        (len(set(ids)) != len(ids), "a device takes part twice"),
        (spec.master_device_id not in ids, "the master is not a member"),
        (not spec.playlist.items, "the playlist is empty"),
        (
            any(item.duration_ns <= 0 for item in spec.playlist.items),
            "a film of the playlist has no duration",
        ),
        (not spec.secret_hex or not _is_hex(spec.secret_hex), "the secret is not hexadecimal"),
        (spec.start_at_ms <= 0, "the start is not a time"),
    )
    return next((sentence for wrong, sentence in checks if wrong), "")


def carry_out(
    desired: Desired | None, command: Command, device_id: str, *, now_ms: int | None = None
) -> CarriedOut:
    """What ``command`` makes of ``desired`` on this device; never an older revision or term.

    ``now_ms`` is the time of the server, as this device knows it (None: it does not): a command
    that has expired by then is refused. If it is still wanted, the cloud gives it out anew.
    """
    held = None if desired is None else desired.session
    if desired is not None and command.seq <= desired.revision:
        return _not_newer(desired, command)
    if now_ms is not None and now_ms >= command.expires_ms:
        late_s = (now_ms - command.expires_ms) / 1000
        return CarriedOut(desired, AckOutcome.FAILED, f"expired {late_s:.1f} s ago")
    if command.kind is CommandKind.STOP:
        if held is not None and held.session_id != command.session_id:
            detail = f"not in that session but in {held.session_id}"
            return CarriedOut(desired, AckOutcome.DONE, detail)
        return CarriedOut(Desired(command.seq, None), AckOutcome.DONE, "")
    fault = _prepare_fault(held, command.session, device_id)
    if fault:
        return CarriedOut(desired, AckOutcome.FAILED, fault)
    return CarriedOut(Desired(command.seq, command.session), AckOutcome.DONE, "")


def _not_newer(desired: Desired, command: Command) -> CarriedOut:
    """A repeated command is done already; one that was superseded is not obeyed, and says so."""
    if command.seq == desired.revision and command.session == desired.session:
        return CarriedOut(desired, AckOutcome.DONE, "already so")
    detail = f"superseded by revision {desired.revision}"
    return CarriedOut(desired, AckOutcome.FAILED, detail)


def _prepare_fault(held: SessionSpec | None, spec: SessionSpec | None, device_id: str) -> str:
    """Why a PREPARE cannot be obeyed here; "" when it can."""
    if spec is None:
        return "the session is missing"
    fault = spec_fault(spec)
    if fault:
        return fault
    if spec.role_of(device_id) is Role.IDLE:
        return f"{device_id} is no member of that session"
    if held is not None and held.session_id == spec.session_id and spec.term < held.term:
        return f"the term fell from {held.term} to {spec.term}"
    return ""


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)
