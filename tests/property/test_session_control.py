"""Sessions under any order of requests, calls and silences: what must hold whatever happens."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.sessions import FILM, LEASE_MS, NOW_MS, Cloud
from unisono.core import control_session, flagset, leadership
from unisono.core.commands import (
    COMMAND_TTL_MS,
    AckOutcome,
    Command,
    CommandKind,
    carry_out,
    filled,
    pending,
    spec_fault,
)
from unisono.core.leases import DAMPING_MS, MAX_DAMPING_MS, MEMORY_MS
from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.session_state import STOP_GRACE_MS, TRANSITIONS, SessionState
from unisono.core.site_document import (
    Decision,
    Hearing,
    Held,
    KnownDevice,
    NewSession,
    Refused,
    SiteDocument,
)

DEVICES = ("a", "b", "c", "d")
some_devices = st.lists(st.sampled_from(DEVICES), min_size=1, unique=True)
one_device = st.sampled_from(DEVICES)
any_session = st.integers(0, 5)


@dataclass
class Device:
    """A device as it really is: what it holds, where it is, whether it obeys, what it hears."""

    port: int
    boot: int = 0
    hears: bool | None = None
    refuses: bool = False
    desired: Desired | None = None

    @property
    def session(self) -> SessionSpec | None:
        return None if self.desired is None else self.desired.session

    @property
    def held(self) -> Held:
        revision = 0 if self.desired is None else self.desired.revision
        if self.session is None:
            return Held(revision=revision)
        return Held(self.session.session_id, self.session.term, revision)


class Site(RuleBasedStateMachine):
    """The control plane's document, four devices, lossy and repeated delivery."""

    @initialize()
    def begin(self) -> None:
        self.now_ms = NOW_MS
        self.cloud = Cloud()
        self.devices = {name: Device(1000 + n) for n, name in enumerate(DEVICES)}
        for name in DEVICES:
            self.cloud.devices[name] = self.calling(name)
        self.sessions = 0
        self.masters: dict[tuple[str, int], str] = {}
        self.terms: dict[str, int] = {}
        self.states: dict[str, SessionState] = {}
        self.moves_ms: dict[str, list[int]] = {}

    @property
    def document(self) -> SiteDocument:
        return self.cloud.document

    def apply(self, decision: Decision) -> None:
        """What the shell does."""
        before = self.document
        self.cloud.apply(decision)
        self.check(before, decision.commands)

    def check(self, before: SiteDocument, commands: tuple[tuple[str, Command], ...] = ()) -> None:
        """What must hold of every change of the document."""
        after = self.document
        if _specs(after) != _specs(before):
            assert after.revision > before.revision
        assert after.revision >= before.revision
        assert all(r.spec.secret_hex == "" for r in self.cloud.ended.values())
        for _, command in commands:
            assert command.seq <= after.revision
            assert command.session is None
        for record in after.sessions:
            spec = record.spec
            assert spec_fault(spec) == ""
            assert record.state in set(SessionState) - {SessionState.ENDED, SessionState.FAILED}
            assert spec.term >= self.terms.get(spec.session_id, 0)
            self.terms[spec.session_id] = spec.term
            key = (spec.session_id, spec.term)
            assert self.masters.setdefault(key, spec.master_device_id) == spec.master_device_id
            others = {m.device_id for m in spec.members} - {spec.master_device_id}
            assert len(set(spec.successors)) == len(spec.successors) <= 3
            assert set(spec.successors) <= others

    @rule(
        ids=some_devices, replaces=st.booleans(), pinned=st.none() | one_device, delay=st.booleans()
    )
    def create(self, ids: list[str], replaces: bool, pinned: str | None, delay: bool) -> None:
        self.somebody_looks()
        new = NewSession(
            session_id=f"s-{self.sessions}",
            secret_hex="00",
            device_ids=tuple(ids),
            playlist=FILM,
            start_delay_ms=5000 * delay,
            lease_ms=LEASE_MS,
            replace=replaces,
            pinned=pinned or "",
            flags={"SYNC_ASKED": "1"},
            who="ana",
        )
        devices = self.cloud.devices
        try:
            decision = control_session.create(self.document, new, devices, now_ms=self.now_ms)
        except Refused as error:
            if error.code not in {"device_busy", "device_silent", "not_a_member", "unknown_device"}:
                raise
            return
        self.sessions += 1
        record = decision.site.session(new.session_id)
        assert record is not None
        assert {m.device_id for m in record.spec.members} == set(ids)
        assert not pinned or record.spec.master_device_id == pinned
        assert record.spec.start_at_ms == self.now_ms + new.start_delay_ms
        self.apply(decision)

    @rule(which=any_session)
    def stop(self, which: int) -> None:
        self.somebody_looks()
        running = self.document.sessions
        if not running:
            with pytest.raises(Refused):
                control_session.stop_session(self.document, "s-none", now_ms=self.now_ms)
            return
        before = running[which % len(running)]
        decision = control_session.stop_session(
            self.document, before.spec.session_id, who="ana", now_ms=self.now_ms
        )
        after = decision.site.session(before.spec.session_id)
        assert after is not None
        assert after.state is SessionState.STOPPING
        if before.state is SessionState.STOPPING:
            assert decision.site == self.document
        self.apply(decision)

    @rule(which=any_session, device=st.none() | one_device)
    def change_master(self, which: int, device: str | None) -> None:
        self.somebody_looks()
        running = self.document.sessions
        if not running:
            return
        before = running[which % len(running)].spec
        try:
            decision = leadership.change_master(
                self.document,
                before.session_id,
                self.cloud.devices,
                device_id=device or "",
                now_ms=self.now_ms,
            )
        except Refused as error:
            if error.code not in {"not_a_member", "device_silent", "unknown_session"}:
                raise
            return
        after = decision.site.session(before.session_id)
        assert after is not None
        assert after.spec.start_at_ms == before.start_at_ms
        assert after.spec.secret_hex == before.secret_hex
        moved = after.spec.master_device_id != before.master_device_id
        assert after.spec.term == before.term + moved
        self.apply(decision)

    @rule(
        value=st.sampled_from([None, "0", "1"]),
        flag=st.sampled_from(["SYNC_ASKED", "SYNC_OTHER"]),
        device=st.sampled_from(["", *DEVICES]),
    )
    def change_flags(self, value: str | None, flag: str, device: str) -> None:
        self.somebody_looks()
        before = self.document
        decision = flagset.change_flags(
            before, {flag: value}, device_id=device, who="ana", why="x", now_ms=self.now_ms
        )
        grown = decision.site.flags.version - before.flags.version
        noted = [json.loads(e.detail) for e in decision.events if e.kind == "flags_changed"]
        assert grown == len(noted) == (decision.site != before)
        concerned = {e.session_id for e in decision.events if e.kind == "reissued"}
        # What a session was asked for with wins: nothing changes for it.
        assert not concerned or flag != "SYNC_ASKED"
        self.apply(decision)

    @rule(device=one_device)
    def revoke(self, device: str) -> None:
        """Revoked, and enrolled anew at once: it holds nothing, and nobody knows it."""
        self.somebody_looks()
        if device not in self.cloud.devices:
            return
        before = self.document.session_of(device)
        decision = control_session.remove_device(
            self.document, device, self.cloud.devices, secret_hex="ff", now_ms=self.now_ms
        )
        assert decision.site.session_of(device) is None
        assert all(name != device for name, _ in decision.commands)
        assert device not in decision.site.flags.devices
        if before is not None:
            after = decision.site.session(before.spec.session_id)
            assert (after is None) == (len(before.spec.members) == 1)
            if after is not None:
                assert after.spec.term == before.spec.term + 1
                assert after.spec.secret_hex == "ff"
        self.apply(decision)
        del self.cloud.devices[device]
        self.cloud.queues.pop(device, None)
        self.devices[device] = Device(self.devices[device].port)

    @rule(
        ms=st.sampled_from([1, 100, 3000, STOP_GRACE_MS, LEASE_MS + 1, MAX_DAMPING_MS, MEMORY_MS])
    )
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(device=one_device, hears=st.sampled_from([True, False, None]))
    def the_lan_comes_or_goes(self, device: str, hears: bool | None) -> None:
        self.devices[device].hears = hears

    @rule(device=one_device, refuses=st.booleans())
    def a_device_obeys_or_refuses(self, device: str, refuses: bool) -> None:
        self.devices[device].refuses = refuses

    @rule(device=one_device, moved=st.booleans(), booted=st.booleans(), look=st.booleans())
    def heartbeat(self, device: str, moved: bool, booted: bool, look: bool) -> None:
        one = self.devices[device]
        one.port += moved
        one.boot += booted
        before = self.document
        caller = self.calling(device)
        self.cloud.call(caller, self.now_ms, look=look)
        self.check(before)
        self.check_moves(before, caller)
        self.apply(
            control_session.move_member(self.document, self.place(device), now_ms=self.now_ms)
        )
        held = one.held
        told = control_session.reconcile(self.document, device, held, now_ms=self.now_ms)
        self.apply(told)
        record = self.document.session_of(device)
        if record is not None:
            waits = {c.what for c in record.changes if c.device_id == device}
            assert self.place(device) in record.spec.members or "place" in waits
            leads = record.spec.master_device_id == device
            assert not leads or record.master_boot_id == caller.boot_id or "boot" in waits
            if held != Held(record.spec.session_id, record.spec.term, record.revision):
                assert any(name == device for name, _ in told.commands)
        elif held.session_id:
            assert [(n, c.kind) for n, c in told.commands] == [(device, CommandKind.STOP)]

    def check_moves(self, before: SiteDocument, caller: KnownDevice) -> None:
        """What must hold of leads that move by themselves."""
        for old in before.sessions:
            new = self.document.session(old.spec.session_id)
            if new is None or new.spec.master_device_id == old.spec.master_device_id:
                continue
            master = self.cloud.devices[new.spec.master_device_id]
            assert master.seen_ms is not None
            assert self.now_ms - master.seen_ms <= LEASE_MS
            if old.spec.master_device_id == caller.device_id:
                # It calls, so it is not silent: it was voted out, which the others alone do.
                raise AssertionError("a caller lost the lead by its own call")
            moves_ms = self.moves_ms.setdefault(old.spec.session_id, [])
            lately = [at_ms for at_ms in moves_ms if self.now_ms - at_ms < MEMORY_MS]
            if lately:
                wait_ms = min(DAMPING_MS * 2 ** (len(lately) - 1), MAX_DAMPING_MS)
                assert self.now_ms - lately[-1] >= wait_ms
            moves_ms.append(self.now_ms)

    @rule()
    def somebody_looks(self) -> None:
        made = control_session.settle_due(self.document, self.cloud.progress(), now_ms=self.now_ms)
        self.apply(made)
        again = control_session.settle_due(self.document, self.cloud.progress(), now_ms=self.now_ms)
        assert again == Decision(self.document)

    @rule(device=one_device, acked=st.booleans(), knows_time=st.booleans())
    def poll(self, device: str, acked: bool, knows_time: bool) -> None:
        self.somebody_looks()
        queue = self.cloud.queues.setdefault(device, {})
        due = pending(queue.values(), after=self.devices[device].held.revision, now_ms=self.now_ms)
        for command in due.forget:
            del queue[command.command_id]
        for command in due.deliver:
            whole = filled(command, self.document, device)
            if whole is None:
                continue
            outcome = self.obey(device, whole, self.now_ms if knows_time else None)
            if acked:
                del queue[command.command_id]
                self.cloud.answers[command.session_id, command.seq, outcome.value] += 1

    @rule(device=one_device, late=st.integers(0, 3), late_ms=st.sampled_from([0, COMMAND_TTL_MS]))
    def an_old_copy_arrives(self, device: str, late: int, late_ms: int) -> None:
        for command in list(self.cloud.queues.get(device, {}).values())[: late + 1]:
            whole = filled(command, self.document, device)
            if whole is not None:
                self.obey(device, whole, self.now_ms + late_ms)

    @rule(device=one_device)
    def state_is_lost(self, device: str) -> None:
        self.devices[device].desired = None

    def obey(self, device: str, command: Command, now_ms: int | None) -> AckOutcome:
        one = self.devices[device]
        before = one.desired
        if one.refuses and command.kind is CommandKind.PREPARE and before is None:
            return AckOutcome.FAILED
        done = carry_out(before, command, device, now_ms=now_ms)
        expired = now_ms is not None and now_ms >= command.expires_ms
        assert done.outcome is AckOutcome.DONE or (expired and done.desired == before)
        one.desired = done.desired
        if before is not None:
            assert done.desired is not None
            assert done.desired.revision >= before.revision
        assert carry_out(done.desired, command, device, now_ms=now_ms).desired == done.desired
        return done.outcome

    def calling(self, device: str) -> KnownDevice:
        """The device as it is in a call now."""
        one = self.devices[device]
        hearing = None
        if one.session is not None and one.hears is not None:
            hearing = Hearing(one.session.session_id, one.session.term, one.hears)
        return KnownDevice(
            device,
            self.place(device),
            self.now_ms,
            boot_id=f"boot-{one.boot}",
            hearing=hearing,
            said_ms=self.now_ms,
            wired=(None, True, False)[one.port % 3],
            clock_healthy=(True, None, False)[one.port // 3 % 3],
        )

    def place(self, device: str) -> Member:
        return Member(device, "10.0.0.1", self.devices[device].port, 7601)

    @invariant()
    def a_device_is_in_one_session_at_most(self) -> None:
        if hasattr(self, "cloud"):
            running = [r for r in self.document.sessions if r.state is not SessionState.STOPPING]
            members = [m.device_id for r in running for m in r.spec.members]
            assert len(members) == len(set(members))

    @invariant()
    def every_session_moves_by_the_table_and_ends(self) -> None:
        if not hasattr(self, "cloud"):
            return
        seen = {r.spec.session_id: r.state for r in self.cloud.ended.values()}
        for record in self.document.sessions:
            progress = self.cloud.progress_of(record)
            seen[record.spec.session_id] = state = control_session.state_of(
                record, progress, self.now_ms
            )
            if self.now_ms >= record.spec.start_at_ms:
                assert state not in {SessionState.PREPARING, SessionState.WARMUP}
            if record.stopping_ms is not None:
                over = self.now_ms - record.stopping_ms >= STOP_GRACE_MS
                assert not over or state is SessionState.ENDED
        assert set(seen) == {f"s-{n}" for n in range(self.sessions)}
        for session_id, state in seen.items():
            before = self.states.get(session_id, SessionState.PREPARING)
            assert state in _reachable(before)
            self.states[session_id] = state

    @invariant()
    def who_calls_and_polls_comes_to_hold_what_is_asked(self) -> None:
        if not hasattr(self, "cloud"):
            return
        for name, device in self.devices.items():
            if name in self.cloud.devices:
                record = self.document.session_of(name)
                held = self.settled(name, device.desired)
                if record is None:
                    assert held is None
                    continue
                assert held is not None
                flags = self.document.flags.of(name, record.spec.flags)
                version = held.flags_version
                assert version <= self.document.flags.version
                assert held == replace(record.spec, flags=flags, flags_version=version)

    def settled(self, name: str, desired: Desired | None) -> SessionSpec | None:
        """What the device holds after it has called and polled a few times, undisturbed."""
        site, queue = self.document, dict(self.cloud.queues.get(name, {}))
        for _ in range(3):
            device = Device(0, desired=desired)
            told = control_session.reconcile(site, name, device.held, now_ms=self.now_ms)
            site = told.site
            queue |= {c.command_id: c for n, c in told.commands if n == name}
            due = pending(queue.values(), after=device.held.revision, now_ms=self.now_ms)
            queue = {}
            for command in due.deliver:
                whole = filled(command, site, name)
                if whole is not None:
                    desired = carry_out(desired, whole, name, now_ms=self.now_ms).desired
        return None if desired is None else desired.session


def _specs(site: SiteDocument) -> list[SessionSpec]:
    """What devices are told; the rest of the document may change without a new revision."""
    return [r.spec for r in site.sessions if r.state is not SessionState.STOPPING]


def _reachable(state: SessionState) -> set[SessionState]:
    found, ahead = {state}, [state]
    while ahead:
        source = ahead.pop()
        fresh = {t for (s, _), t in TRANSITIONS.items() if s is source} - found
        found |= fresh
        ahead.extend(fresh)
    return found


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
