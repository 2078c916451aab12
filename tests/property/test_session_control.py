"""Sessions under any order of requests, calls and silences: what must hold whatever happens."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from unisono.core import control_session, leadership
from unisono.core.commands import AckOutcome, Command, CommandKind, carry_out, pending, spec_fault
from unisono.core.control_session import state_at
from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.site_document import (
    TRANSITIONS,
    Decision,
    Held,
    KnownDevice,
    NewSession,
    Refused,
    SessionEvent,
    SessionState,
    SiteDocument,
)
from unisono.core.timeline import MediaItem, Playlist

DEVICES = ("a", "b", "c", "d")
LEASE_MS = 15_000
FILM = Playlist((MediaItem("film.mp4", 10_000_000_000),))
some_devices = st.lists(st.sampled_from(DEVICES), min_size=1, unique=True)
one_device = st.sampled_from(DEVICES)


@dataclass
class Device:
    """A device as it really is: what it holds, what waits for it, where it is."""

    port: int
    boot: int = 0
    lan: tuple[str, int] | None = None
    desired: Desired | None = None
    queue: dict[str, Command] = field(default_factory=dict)
    highest_term: dict[str, int] = field(default_factory=dict)


class Site(RuleBasedStateMachine):
    """The control plane's document, four devices, lossy and repeated delivery."""

    @initialize()
    def begin(self) -> None:
        self.now_ms = 1_780_000_000_000
        self.document = SiteDocument()
        self.devices = {name: Device(1000 + n) for n, name in enumerate(DEVICES)}
        self.seen_ms = dict.fromkeys(DEVICES, self.now_ms)
        self.sessions = 0
        self.masters: dict[tuple[str, int], str] = {}
        self.terms: dict[str, int] = {}

    def apply(self, decision: Decision) -> None:
        """What the shell does; checks what must hold of every decision."""
        if decision.commands:
            assert decision.site.revision >= self.document.revision
        if _specs(decision.site) != _specs(self.document):
            assert decision.site.revision > self.document.revision
        assert all(record.spec.secret_hex == "" for record in decision.ended)
        by_session: dict[tuple[str, int], set[Command]] = {}
        for device_id, command in decision.commands:
            assert command.seq <= decision.site.revision
            self.devices[device_id].queue[command.command_id] = command
            if command.kind is CommandKind.PREPARE:
                key = (command.session_id, command.seq)
                by_session.setdefault(key, set()).add(_hashable(command))
        # Every member gets the very same PREPARE.
        assert all(len(commands) == 1 for commands in by_session.values())
        for record in decision.site.sessions:
            spec = record.spec
            assert spec_fault(spec) == ""
            before = self.terms.get(spec.session_id, 0)
            assert spec.term >= before
            self.terms[spec.session_id] = spec.term
            key = (spec.session_id, spec.term)
            assert self.masters.setdefault(key, spec.master_device_id) == spec.master_device_id
        self.document = decision.site

    @rule(ids=some_devices, replaces=st.booleans(), pinned=st.none() | one_device)
    def create(self, ids: list[str], replaces: bool, pinned: str | None) -> None:
        new = NewSession(
            session_id=f"s-{self.sessions}",
            secret_hex="00",
            device_ids=tuple(ids),
            playlist=FILM,
            start_delay_ms=5000,
            lease_ms=LEASE_MS,
            replace=replaces,
            pinned=pinned or "",
        )
        try:
            decision = control_session.create(self.document, new, self.known(), now_ms=self.now_ms)
        except Refused as error:
            if error.code not in {"device_busy", "device_silent", "not_a_member"}:
                raise
            return
        self.sessions += 1
        record = decision.site.session(new.session_id)
        assert record is not None
        assert {m.device_id for m in record.spec.members} == set(ids)
        assert not pinned or record.spec.master_device_id == pinned
        assert record.spec.start_at_ms == self.now_ms + 5000
        self.apply(decision)

    @rule(which=st.integers(0, 5))
    def stop(self, which: int) -> None:
        running = self.document.sessions
        if not running:
            with pytest.raises(Refused):
                control_session.stop_session(self.document, "s-none", now_ms=self.now_ms)
            return
        session_id = running[which % len(running)].spec.session_id
        decision = control_session.stop_session(self.document, session_id, now_ms=self.now_ms)
        assert [record.state for record in decision.ended] == [SessionState.STOPPED]
        self.apply(decision)

    @rule(which=st.integers(0, 5), device=st.none() | one_device)
    def change_master(self, which: int, device: str | None) -> None:
        running = self.document.sessions
        if not running:
            return
        before = running[which % len(running)].spec
        try:
            decision = leadership.change_master(
                self.document,
                before.session_id,
                self.known(),
                device_id=device or "",
                now_ms=self.now_ms,
            )
        except Refused as error:
            if error.code not in {"not_a_member", "device_silent"}:
                raise
            return
        after = decision.site.session(before.session_id)
        assert after is not None
        assert after.spec.start_at_ms == before.start_at_ms
        assert after.spec.secret_hex == before.secret_hex
        moved = after.spec.master_device_id != before.master_device_id
        assert after.spec.term == before.term + moved
        self.apply(decision)

    @rule(ms=st.sampled_from([1, 100, 3000, LEASE_MS + 1]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(device=one_device, hears=st.booleans())
    def the_lan_comes_or_goes(self, device: str, hears: bool) -> None:
        record = self.document.session_of(device)
        of = None if record is None else (record.spec.session_id, record.spec.term)
        self.devices[device].lan = of if hears else None

    @rule(device=one_device, moved=st.booleans(), booted=st.booleans())
    def heartbeat(self, device: str, moved: bool, booted: bool) -> None:
        self.devices[device].port += moved
        before = self.known()
        self.devices[device].boot += booted
        self.seen_ms[device] = self.now_ms
        caller = self.known()[device]
        self.apply(leadership.renew_leases(self.document, before, caller, now_ms=self.now_ms))
        led = self.document.session_of(device)
        noted = leadership.note_boot(self.document, device, caller.boot_id, now_ms=self.now_ms)
        self.apply(noted)
        after = self.document.session_of(device)
        if led is not None and after is not None:
            leads = led.spec.master_device_id == device
            anew = leads and caller.boot_id != led.master_boot_id
            assert after.spec.term == led.spec.term + anew
            assert after.spec.master_device_id == led.spec.master_device_id
            assert not leads or after.master_boot_id == caller.boot_id
        place = self.place(device)
        self.apply(control_session.move_member(self.document, place, now_ms=self.now_ms))
        held = self.held(device)
        told = control_session.reconcile(self.document, device, held, now_ms=self.now_ms)
        self.apply(told)
        record = self.document.session_of(device)
        if record is not None:
            assert place in record.spec.members
            if held != Held(record.spec.session_id, record.spec.term, record.revision):
                assert any(name == device for name, _ in told.commands)

    @rule(device=one_device, acked=st.booleans())
    def poll(self, device: str, acked: bool) -> None:
        one = self.devices[device]
        due = pending(one.queue.values(), after=0, now_ms=self.now_ms)
        for command in due.forget:
            del one.queue[command.command_id]
        for command in due.deliver:
            self.obey(device, command)
            if acked:
                del one.queue[command.command_id]

    @rule(device=one_device, late=st.integers(0, 3))
    def an_old_copy_arrives(self, device: str, late: int) -> None:
        for command in list(self.devices[device].queue.values())[: late + 1]:
            self.obey(device, command)

    @rule(device=one_device)
    def state_is_lost(self, device: str) -> None:
        self.devices[device].desired = None

    def obey(self, device: str, command: Command) -> None:
        one = self.devices[device]
        before = one.desired
        done = carry_out(before, command, device)
        assert done.outcome is AckOutcome.DONE
        one.desired = done.desired
        if before is not None:
            assert done.desired is not None
            assert done.desired.revision >= before.revision
        assert carry_out(done.desired, command, device).desired == done.desired

    def known(self) -> dict[str, KnownDevice]:
        """The devices as the cloud knows them."""
        return {
            name: KnownDevice(
                name,
                self.place(name),
                self.seen_ms.get(name),
                boot_id=f"boot-{device.boot}",
                in_lan=device.lan,
                said_ms=self.seen_ms.get(name),
            )
            for name, device in self.devices.items()
        }

    def place(self, device: str) -> Member:
        return Member(device, "10.0.0.1", self.devices[device].port, 7601)

    def held(self, device: str) -> Held:
        desired = self.devices[device].desired
        if desired is None or desired.session is None:
            return Held(revision=desired.revision if desired else 0)
        return Held(desired.session.session_id, desired.session.term, desired.revision)

    @invariant()
    def a_device_is_in_one_session_at_most(self) -> None:
        if hasattr(self, "document"):
            members = [m.device_id for r in self.document.sessions for m in r.spec.members]
            assert len(members) == len(set(members))

    @invariant()
    def who_calls_and_polls_comes_to_hold_what_is_asked(self) -> None:
        if not hasattr(self, "document"):
            return
        for name, device in self.devices.items():
            desired = device.desired
            told = control_session.reconcile(
                self.document, name, self.held(name), now_ms=self.now_ms
            )
            queue = [*device.queue.values(), *(c for n, c in told.commands if n == name)]
            for command in pending(queue, after=0, now_ms=self.now_ms).deliver:
                desired = carry_out(desired, command, name).desired
            record = told.site.session_of(name)
            session = None if desired is None else desired.session
            assert session == (None if record is None else record.spec)


def _specs(site: SiteDocument) -> list[SessionSpec]:
    """What devices are told; the rest of the document may change without a new revision."""
    return [record.spec for record in site.sessions]


def _hashable(command: Command) -> Command:
    """The command without its flags, the one part that cannot be in a set."""
    if command.session is None:
        return command
    return replace(command, session=replace(command.session, flags=()))  # type: ignore[arg-type]


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.sampled_from(SessionState), st.sampled_from(SessionEvent))
def test_only_the_table_moves_a_session(state: SessionState, event: SessionEvent) -> None:
    after = TRANSITIONS.get((state, event))
    if state is SessionState.STOPPED:
        assert after is None
    if event is SessionEvent.STOP and state is not SessionState.STOPPED:
        assert after is SessionState.STOPPED


def test_a_session_plays_from_its_start_on() -> None:
    known = {"a": KnownDevice("a", Member("a", "10.0.0.1", 1, 2), 1000)}
    new = NewSession("s", "00", ("a",), FILM, start_delay_ms=500, lease_ms=LEASE_MS)
    record = control_session.create(SiteDocument(), new, known, now_ms=1000).site.sessions[0]
    assert state_at(record, 1499) is SessionState.PREPARING
    assert state_at(record, 1500) is SessionState.PLAYING
    assert state_at(replace(record, state=SessionState.STOPPED), 1500) is SessionState.STOPPED
