"""Sessions, case by case: refusals, replacement, stopping, documents that were lost, flags."""

import json
from dataclasses import replace

import pytest

from tests.support.sessions import LEASE_MS, NOW_MS, asked, kinds, known, playing
from unisono.core import control_session
from unisono.core.cadence import MAX_RETURN_S
from unisono.core.commands import (
    COMMAND_TTL_MS,
    AckOutcome,
    Command,
    CommandKind,
    carry_out,
    filled,
    pending,
    prepare,
    spec_fault,
    stop,
)
from unisono.core.flagset import change_flags
from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.session_state import FAIL_AFTER_MS, STOP_GRACE_MS, Progress, SessionState
from unisono.core.site_document import (
    Held,
    KnownDevice,
    NewSession,
    Refused,
    SiteDocument,
)
from unisono.core.timeline import MediaItem, Playlist


@pytest.mark.parametrize(
    ("new", "code", "sentence"),
    [
        (asked(), "bad_session", "at least one device"),
        (asked("a", "a"), "bad_session", "named twice"),
        (asked("a", playlist=Playlist(())), "bad_session", "playlist is empty"),
        (asked("a", playlist=Playlist((MediaItem("f", 0),))), "bad_session", "duration above 0"),
        (asked("a", start_delay_ms=-1), "bad_session", "below 0"),
        (asked("a", pinned="b"), "not_a_member", "b is not among the devices"),
        (asked("a", "ghost"), "unknown_device", "ghost is not enrolled"),
        (asked("a", "new"), "device_silent", "new has never called in"),
        (asked("late"), "device_silent", "none of the devices has called in lately"),
        (asked("a", "late", pinned="late"), "device_silent", "late has not called in lately"),
    ],
)
def test_what_cannot_be_a_session(new: NewSession, code: str, sentence: str) -> None:
    devices = known("a", "b") | known("late", seen_ms=NOW_MS - LEASE_MS - 1)
    devices["new"] = KnownDevice("new", None, None)
    with pytest.raises(Refused, match=sentence) as caught:
        control_session.create(SiteDocument(), new, devices, now_ms=NOW_MS)
    assert caught.value.code == code


def test_the_lowest_living_id_leads_unless_one_is_pinned() -> None:
    devices = known("b", "c") | known("a", seen_ms=NOW_MS - LEASE_MS - 1)
    first = control_session.create(SiteDocument(), asked("c", "b", "a"), devices, now_ms=NOW_MS)
    assert first.site.sessions[0].spec.master_device_id == "b"
    pinned = asked("a", "b", "c", pinned="c")
    second = control_session.create(SiteDocument(), pinned, devices, now_ms=NOW_MS)
    assert second.site.sessions[0].spec.master_device_id == "c"


def test_busy_devices_are_refused_or_taken_over() -> None:
    site = playing("a", "b")
    new = asked("b", "c", session_id="s-2")
    with pytest.raises(Refused, match="b plays in session s-1") as caught:
        control_session.create(site, new, known("b", "c"), now_ms=NOW_MS)
    assert caught.value.code == "device_busy"
    decision = control_session.create(
        site, replace(new, replace=True), known("b", "c"), now_ms=NOW_MS
    )
    assert {(name, command.kind) for name, command in decision.commands} == {
        ("b", CommandKind.PREPARE),
        ("c", CommandKind.PREPARE),
        ("a", CommandKind.STOP),
    }
    assert kinds(decision) == ("session_replaced", "session_created")
    old, fresh = decision.site.sessions
    assert (old.state, old.end_reason) == (SessionState.STOPPING, "replaced by s-2")
    assert decision.site.session_of("b") is fresh
    assert decision.site.session_of("a") is None
    # Only the one that was told to stop is waited for.
    answers = {"s-1": Progress(done=1)}
    settled = control_session.settle_due(decision.site, answers, now_ms=NOW_MS + 1)
    assert [r.spec.session_id for r in settled.site.sessions] == ["s-2"]
    assert [r.spec.secret_hex for r in settled.ended] == [""]
    # With nobody left to tell, it ends at once.
    both = replace(asked("a", "b", session_id="s-3"), replace=True, who="ana")
    over = control_session.create(site, both, known("a", "b"), now_ms=NOW_MS)
    assert [r.state for r in over.ended] == [SessionState.ENDED]
    assert [(e.kind, e.who) for e in over.events] == [
        ("session_replaced", "ana"),
        ("session_ended", ""),
        ("session_created", "ana"),
    ]


def test_a_session_stops_until_all_have_answered_or_long_enough() -> None:
    site = playing("a", "b")
    decision = control_session.stop_session(site, "s-1", who="ana", now_ms=NOW_MS + 1)
    (stopping,) = decision.site.sessions
    assert stopping.state is SessionState.STOPPING
    assert [(e.kind, e.who) for e in decision.events] == [("session_stopped", "ana")]
    assert {(n, c.kind, c.seq) for n, c in decision.commands} == {
        ("a", CommandKind.STOP, stopping.revision),
        ("b", CommandKind.STOP, stopping.revision),
    }
    again = control_session.stop_session(decision.site, "s-1", now_ms=NOW_MS + 2)
    assert again == type(again)(decision.site)

    def settled(done: int, failed: int, after_ms: int) -> tuple[int, tuple[str, ...]]:
        made = control_session.settle_due(
            decision.site, {"s-1": Progress(done, failed)}, now_ms=NOW_MS + 1 + after_ms
        )
        assert all(r.ended_ms == NOW_MS + 1 + after_ms for r in made.ended)
        return len(made.site.sessions), kinds(made)

    assert settled(1, 0, STOP_GRACE_MS - 1) == (1, ())
    assert settled(1, 1, 5) == (0, ("session_ended",))
    assert settled(0, 0, STOP_GRACE_MS) == (0, ("session_ended",))
    # Its devices are free at once.
    fresh = control_session.create(
        decision.site, asked("a", session_id="s-2"), known("a"), now_ms=NOW_MS + 2
    )
    assert fresh.site.session_of("a") is fresh.site.session("s-2")
    # One that still claims it is told the very same STOP, so that its answer counts.
    held = Held("s-1", 1, site.revision)
    ((_, command),) = control_session.reconcile(
        decision.site, "a", held, now_ms=NOW_MS + 3
    ).commands
    assert command.command_id == decision.commands[0][1].command_id


def test_a_session_fails_that_all_refuse_or_nobody_takes_up() -> None:
    site = playing("a", "b")
    start_ms = site.sessions[0].spec.start_at_ms

    def settled(answers: Progress, now_ms: int) -> tuple[str, ...]:
        made = control_session.settle_due(site, {"s-1": answers}, now_ms=now_ms)
        assert {c.kind for _, c in made.commands} <= {CommandKind.STOP}
        assert all(c.seq > site.revision for _, c in made.commands)
        return tuple(f"{r.state.value}: {r.end_reason}" for r in made.ended)

    refused = ("failed: every device refused it",)
    nobody = ("failed: no device took it up within 30 s of its start",)
    assert settled(Progress(failed=2), NOW_MS + 100) == refused
    assert settled(Progress(failed=1), NOW_MS + 100) == ()
    # Somebody looks every few seconds.
    for look_ms in range(start_ms, start_ms + 2 * LEASE_MS, 5000):
        assert settled(Progress(failed=1), look_ms) == ()
        site = control_session.settle_due(site, {}, now_ms=look_ms).site
    assert settled(Progress(failed=1), start_ms + 2 * LEASE_MS - 1) == ()
    assert settled(Progress(failed=1), start_ms + 2 * LEASE_MS) == nobody
    assert settled(Progress(ever_done=1), start_ms + 2 * LEASE_MS) == ()


@pytest.mark.parametrize(("lease_ms", "wait_ms"), [(1000, FAIL_AFTER_MS), (10_800_000, 21_600_000)])
def test_devices_that_call_rarely_get_the_time_to_take_it_up(lease_ms: int, wait_ms: int) -> None:
    new = asked("a", "b", lease_ms=lease_ms)
    site = control_session.create(SiteDocument(), new, known("a", "b"), now_ms=NOW_MS).site
    start_ms = site.sessions[0].spec.start_at_ms
    looks = list(range(start_ms, start_ms + wait_ms, lease_ms // 3))
    for look_ms in (*looks, start_ms + wait_ms - 1):
        made = control_session.settle_due(site, {}, now_ms=look_ms)
        assert made.ended == ()
        site = made.site
    made = control_session.settle_due(site, {}, now_ms=start_ms + wait_ms)
    assert [r.state for r in made.ended] == [SessionState.FAILED]


@pytest.mark.parametrize("away_from_ms", [0, 10_000])
def test_a_cloud_that_was_away_at_the_start_lets_devices_come_back(away_from_ms: int) -> None:
    site = playing("a", "b")
    start_ms = site.sessions[0].spec.start_at_ms
    for look_ms in range(start_ms, start_ms + away_from_ms, 5000):
        site = control_session.settle_due(site, {}, now_ms=look_ms).site
    # Whoever comes first after a while does not end it, whatever it looks at.
    back_ms = start_ms + 300_000
    record = site.sessions[0]
    assert control_session.state_of(record, Progress(), back_ms) is SessionState.PLAYING
    end_ms = back_ms + round(MAX_RETURN_S * 1000) + 2 * LEASE_MS
    for look_ms in (*range(back_ms, end_ms, 5000), end_ms - 1):
        made = control_session.settle_due(site, {}, now_ms=look_ms)
        assert made.ended == ()
        site = made.site
        assert control_session.settle_due(site, {}, now_ms=look_ms).site is site
    made = control_session.settle_due(site, {}, now_ms=end_ms)
    assert [r.state for r in made.ended] == [SessionState.FAILED]


def test_a_stop_given_before_the_clock_was_put_back_ends() -> None:
    site = control_session.stop_session(playing("a"), "s-1", now_ms=NOW_MS + 3_600_000).site
    site = control_session.settle_due(site, {}, now_ms=NOW_MS).site
    over = control_session.settle_due(site, {}, now_ms=NOW_MS + STOP_GRACE_MS)
    assert kinds(over) == ("session_ended",)


def test_a_session_that_was_obeyed_does_not_fail_when_the_answers_are_forgotten() -> None:
    new = asked("a", "b", start_delay_ms=2 * 86_400_000)
    site = control_session.create(SiteDocument(), new, known("a", "b"), now_ms=NOW_MS).site
    one = {"s-1": Progress(done=1, ever_done=1)}
    site = control_session.settle_due(site, one, now_ms=NOW_MS + 1000).site
    late_ms = site.sessions[0].spec.start_at_ms + FAIL_AFTER_MS
    made = control_session.settle_due(site, {}, now_ms=late_ms)
    assert [r.state for r in made.site.sessions] == [SessionState.PLAYING]
    assert made.ended == ()


def test_when_all_are_ready_it_warms_up_until_they_are_told_anew() -> None:
    site = playing("a", "b")
    ready = {"s-1": Progress(done=2, ever_done=2)}
    site = control_session.settle_due(site, ready, now_ms=NOW_MS + 1).site
    assert site.sessions[0].state is SessionState.WARMUP
    place = Member("b", "10.0.0.9", 7700, 7701)
    moved = control_session.move_member(site, place, now_ms=NOW_MS + 2).site
    assert moved.sessions[0].state is SessionState.PREPARING


def test_a_revoked_device_leaves_with_its_secrets() -> None:
    site = playing("a", "b", "c")
    site = change_flags(site, {"SYNC_X": "1"}, device_id="a", who="", why="", now_ms=NOW_MS).site
    devices = known("a", "c", "b")

    def removed(name: str, site: SiteDocument = site) -> tuple[SiteDocument, tuple[str, ...]]:
        made = control_session.remove_device(
            site, name, devices, secret_hex="beef", who="ana", now_ms=NOW_MS + 5
        )
        assert {e.who for e in made.events} == {"ana"}
        assert name not in {n for n, _ in made.commands}
        return made.site, kinds(made)

    left, happened = removed("a")
    spec = left.sessions[0].spec
    assert happened == ("device_revoked", "member_removed")
    assert (spec.term, spec.master_device_id, spec.secret_hex) == (2, "b", "beef")
    assert [m.device_id for m in spec.members] == ["b", "c"]
    assert spec.successors == ("c",)
    assert (left.flags.devices, left.flags.version) == ({}, 2)
    # A follower takes the lead of nobody with it, but its secret is good no longer.
    spec = removed("c")[0].sessions[0].spec
    assert (spec.term, spec.master_device_id, spec.secret_hex) == (2, "a", "beef")
    # Nobody else is alive: somebody must lead when they are back.
    devices = known("a", "b", "c", seen_ms=NOW_MS - 10 * LEASE_MS)
    assert removed("a")[0].sessions[0].spec.master_device_id == "b"
    # The last one ends it; and one that plays nothing just goes.
    alone, happened = removed("c", removed("b", removed("a")[0])[0])
    assert alone.sessions == ()
    assert happened == ("device_revoked", "session_ended")
    # One that plays nothing changes the document, too: who has read it enrolled must not win.
    gone, happened = removed("z", site)
    assert happened == ("device_revoked",)
    assert gone.revision > site.revision
    assert gone.sessions == site.sessions


def test_flags_are_versioned_and_told_to_whom_they_concern() -> None:
    devices = known("a", "b", "c")
    site = control_session.create(
        SiteDocument(), asked("a", "b", flags={"SYNC_X": "asked"}), devices, now_ms=NOW_MS
    ).site
    site = control_session.create(site, asked("c", session_id="s-2"), devices, now_ms=NOW_MS).site

    def set_to(value: str | None, device_id: str = "") -> tuple[SiteDocument, list[str]]:
        made = change_flags(
            site, {"SYNC_X": value}, device_id=device_id, who="ana", why="why", now_ms=NOW_MS + 9
        )
        return made.site, sorted(name for name, _ in made.commands)

    # In the first session what was asked for wins: nothing changes there.
    site, told = set_to("1")
    assert (site.flags.version, site.flags.site, told) == (1, {"SYNC_X": "1"}, ["c"])
    assert set_to("1") == (site, [])
    site, told = set_to("2", "c")
    assert (site.flags.of("c"), told) == ({"SYNC_X": "2"}, ["c"])
    site, told = set_to("0", "z")
    assert (site.flags.of("z"), told) == ({"SYNC_X": "0"}, [])
    site, told = set_to(None, "c")
    assert (dict(site.flags.devices), told) == ({"z": {"SYNC_X": "0"}}, ["c"])
    assert site.flags.version == 4
    assert [r.spec.term for r in site.sessions] == [1, 1]
    other = change_flags(site, {"SYNC_Y": "1"}, who="ana", why="for all", now_ms=NOW_MS + 9)
    assert sorted(name for name, _ in other.commands) == ["a", "b", "c"]
    event = other.events[0]
    assert (event.kind, event.who, event.device_id) == ("flags_changed", "ana", "")
    assert json.loads(event.detail) == {
        "version": 5,
        "values": {"SYNC_Y": "1"},
        "why": "for all",
    }
    # Whatever else changes, the flags stay.
    stopped = control_session.stop_session(other.site, "s-1", now_ms=NOW_MS + 10).site
    over = control_session.settle_due(stopped, {}, now_ms=NOW_MS + 10 + STOP_GRACE_MS).site
    assert over.flags == other.site.flags


def test_a_queued_command_gets_its_session_when_it_is_delivered() -> None:
    new = asked("a", "b", flags={"SYNC_X": "asked"})
    made = control_session.create(SiteDocument(), new, known("a", "b"), now_ms=NOW_MS)
    (_, notice), _ = made.commands
    assert notice.session is None
    flagged = change_flags(
        made.site, {"SYNC_X": "0"}, device_id="a", who="", why="", now_ms=NOW_MS
    ).site
    whole = filled(notice, flagged, "a")
    assert whole is not None
    assert whole.session == replace(
        made.site.sessions[0].spec, flags={"SYNC_X": "asked"}, flags_version=1
    )
    assert filled(notice, flagged, "z") is None
    # Told anew, stopping, or gone: another command waits by then.
    anew = change_flags(made.site, {"SYNC_Y": "1"}, who="", why="", now_ms=NOW_MS).site
    assert filled(notice, anew, "a") is None
    stopping = control_session.stop_session(made.site, "s-1", now_ms=NOW_MS)
    assert filled(notice, stopping.site, "a") is None
    assert filled(notice, SiteDocument(), "a") is None
    (_, command), _ = stopping.commands
    assert filled(command, SiteDocument(), "a") == command


def test_a_moved_member_is_told_to_all_in_the_same_term() -> None:
    site = playing("a", "b")
    place = Member("b", "10.0.0.9", 7700, 7701)
    decision = control_session.move_member(site, place, now_ms=NOW_MS + 1)
    spec = decision.site.sessions[0].spec
    assert spec.term == 1
    assert spec.member("b") == place
    assert {name for name, _ in decision.commands} == {"a", "b"}
    same = control_session.move_member(decision.site, place, now_ms=NOW_MS + 2)
    assert same.site == decision.site
    outside = control_session.move_member(site, Member("z", "10.0.0.1", 1, 2), now_ms=NOW_MS)
    assert outside.site == site


def test_a_document_that_was_lost_outdoes_what_devices_hold() -> None:
    site = playing("a", "b")
    record = site.sessions[0]
    ahead = Held("s-1", term=4, revision=record.revision + 50)
    decision = control_session.reconcile(site, "a", ahead, now_ms=NOW_MS + 100)
    assert decision.site.sessions[0].spec.term == 5
    assert decision.site.sessions[0].revision > ahead.revision
    # Another device holds more than the clock says: the revision outdoes that, too.
    further = Held("s-1", term=5, revision=NOW_MS + 10**8)
    decision = control_session.reconcile(decision.site, "b", further, now_ms=NOW_MS + 100)
    assert decision.site.revision == decision.site.sessions[0].revision > further.revision
    far = Held("s-0", term=9, revision=NOW_MS + 10**8)
    ((_, command),) = control_session.reconcile(SiteDocument(), "a", far, now_ms=NOW_MS).commands
    assert command.seq > far.revision
    gone = Held("s-0", term=9, revision=NOW_MS - 5)
    empty = control_session.reconcile(SiteDocument(), "a", gone, now_ms=NOW_MS)
    ((name, command),) = empty.commands
    assert (name, command.kind) == ("a", CommandKind.STOP)
    assert command.seq > gone.revision


@pytest.mark.parametrize(
    "held",
    [
        Held("s-1", 1, 2**52),
        Held("s-1", 2**30, NOW_MS + 1),
        Held("s-1", 10_002, NOW_MS + 1),
        Held("s-1", 1, NOW_MS + 8 * 86_400_000),
    ],
)
def test_a_damaged_device_does_not_drive_the_sites_numbers(held: Held) -> None:
    site = playing("a", "b")
    decision = control_session.reconcile(site, "a", held, now_ms=NOW_MS + 1)
    assert (decision.site.revision, decision.site.sessions) == (site.revision, site.sessions)
    ((name, command),) = decision.commands
    assert (name, command.kind, command.seq) == ("a", CommandKind.PREPARE, site.revision)
    # It is said once in an hour, and the honest ones are believed as before.
    assert [(e.kind, e.device_id) for e in decision.events] == [("claim_refused", "a")]
    again = control_session.reconcile(decision.site, "a", held, now_ms=NOW_MS + 3_600_000)
    assert (again.site, again.events) == (decision.site, ())
    later = control_session.reconcile(decision.site, "a", held, now_ms=NOW_MS + 3_600_001)
    assert kinds(later) == ("claim_refused",)
    honest = Held("s-1", 7, site.revision + 50)
    followed = control_session.reconcile(decision.site, "b", honest, now_ms=NOW_MS + 2)
    assert followed.site.sessions[0].spec.term == 8
    # One that shall play nothing is told to stop, and that it is ahead is said as well.
    stray = control_session.reconcile(SiteDocument(), "a", replace(held, term=1), now_ms=NOW_MS)
    assert [c.kind for _, c in stray.commands] == [CommandKind.STOP]
    gone = control_session.remove_device(
        decision.site, "a", known("a", "b"), secret_hex="ff", now_ms=NOW_MS + 3
    )
    assert gone.site.refused_ms == {}


def test_the_newest_command_supersedes_and_old_ones_expire() -> None:
    spec = playing("a").sessions[0].spec
    first, second = prepare(spec, 10, NOW_MS), stop(spec.session_id, 1, 11, NOW_MS)
    both = pending([second, first], after=0, now_ms=NOW_MS)
    assert both.deliver == (second,)
    assert both.forget == (first,)
    assert pending([second], after=11, now_ms=NOW_MS).deliver == ()
    late = pending([second], after=0, now_ms=NOW_MS + COMMAND_TTL_MS)
    assert late.deliver == ()
    assert late.forget == (second,)


def desired_of(site: SiteDocument) -> tuple[Desired, SessionSpec]:
    record = site.sessions[0]
    return Desired(record.revision, record.spec), record.spec


def test_a_device_obeys_the_newest_revision_only() -> None:
    held, spec = desired_of(playing("a", "b"))
    newer = prepare(replace(spec, term=2, master_device_id="b"), held.revision + 1, NOW_MS)
    obeyed = carry_out(held, newer, "a")
    assert obeyed.desired == Desired(newer.seq, newer.session)
    repeated = carry_out(obeyed.desired, newer, "a")
    assert (repeated.desired, repeated.detail) == (obeyed.desired, "already so")
    old = carry_out(obeyed.desired, prepare(spec, held.revision, NOW_MS), "a")
    assert old.desired == obeyed.desired
    assert "superseded" in old.detail
    stopped = carry_out(obeyed.desired, stop("s-1", 2, newer.seq + 1, NOW_MS), "a")
    assert stopped.desired == Desired(newer.seq + 1, None)
    other = carry_out(obeyed.desired, stop("s-9", 1, newer.seq + 1, NOW_MS), "a")
    assert other.desired == obeyed.desired


def test_an_expired_command_is_refused_unless_it_is_held() -> None:
    held, spec = desired_of(playing("a", "b"))
    newer = prepare(replace(spec, term=2), held.revision + 1, NOW_MS)
    for command in (newer, stop("s-1", 1, held.revision + 1, NOW_MS)):
        for now_ms in (None, NOW_MS + COMMAND_TTL_MS - 1):
            assert carry_out(held, command, "a", now_ms=now_ms).outcome is AckOutcome.DONE
        late = carry_out(held, command, "a", now_ms=NOW_MS + COMMAND_TTL_MS + 1500)
        assert (late.outcome, late.desired, late.detail) == (
            AckOutcome.FAILED,
            held,
            "expired 1.5 s ago",
        )
    same = prepare(spec, held.revision, NOW_MS)
    again = carry_out(held, same, "a", now_ms=NOW_MS + 2 * COMMAND_TTL_MS)
    assert (again.outcome, again.detail) == (AckOutcome.DONE, "already so")


def test_what_a_device_refuses() -> None:
    held, spec = desired_of(playing("a", "b"))

    def refusal(command: Command, device: str = "a") -> str:
        done = carry_out(held, command, device)
        assert done.desired == held
        assert done.outcome is AckOutcome.FAILED
        return done.detail

    above = held.revision + 1
    assert "no member" in refusal(prepare(spec, above, NOW_MS), "z")
    assert "missing" in refusal(replace(prepare(spec, above, NOW_MS), session=None))
    older = replace(held, session=replace(spec, term=3))
    fell = carry_out(older, prepare(spec, above, NOW_MS), "a")
    assert "term fell from 3 to 1" in fell.detail
    broken = replace(spec, playlist=Playlist(()))
    assert "playlist is empty" in refusal(prepare(broken, above, NOW_MS))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"session_id": ""}, "no id"),
        ({"term": 0}, "below 1"),
        ({"members": ()}, "no members"),
        ({"members": (Member("a", "", 1, 1),) * 2}, "twice"),
        ({"master_device_id": "z"}, "master is not a member"),
        ({"playlist": Playlist((MediaItem("f", -1),))}, "no duration"),
        ({"secret_hex": "xyz"}, "hexadecimal"),
        ({"start_at_ms": 0}, "not a time"),
    ],
)
def test_faults_of_a_session(changes: dict[str, object], sentence: str) -> None:
    spec = playing("a", "b").sessions[0].spec
    assert spec_fault(spec) == ""
    assert sentence in spec_fault(replace(spec, **changes))  # type: ignore[arg-type]
