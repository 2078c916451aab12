"""Sessions, case by case: refusals, failover, replacement, documents that were lost."""

from dataclasses import replace

import pytest

from tests.support.sessions import LEASE_MS, NOW_MS, asked, known, playing
from unisono.core import control_session
from unisono.core.commands import (
    COMMAND_TTL_MS,
    AckOutcome,
    Command,
    CommandKind,
    carry_out,
    pending,
    prepare,
    spec_fault,
    stop,
)
from unisono.core.session import Desired, Member, SessionSpec
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
    assert [r.spec.session_id for r in decision.site.sessions] == ["s-2"]
    assert [(name, command.kind) for name, command in decision.commands] == [
        ("b", CommandKind.PREPARE),
        ("c", CommandKind.PREPARE),
        ("a", CommandKind.STOP),
    ]
    (ended,) = decision.ended
    assert ended.end_reason == "replaced by s-2"
    assert ended.spec.secret_hex == ""


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
    further = Held("s-1", term=5, revision=NOW_MS + 10**9)
    decision = control_session.reconcile(decision.site, "b", further, now_ms=NOW_MS + 100)
    assert decision.site.revision == decision.site.sessions[0].revision > further.revision
    far = Held("s-0", term=9, revision=NOW_MS + 10**9)
    ((_, command),) = control_session.reconcile(SiteDocument(), "a", far, now_ms=NOW_MS).commands
    assert command.seq > far.revision
    gone = Held("s-0", term=9, revision=NOW_MS - 5)
    empty = control_session.reconcile(SiteDocument(), "a", gone, now_ms=NOW_MS)
    ((name, command),) = empty.commands
    assert (name, command.kind) == ("a", CommandKind.STOP)
    assert command.seq > gone.revision


@pytest.mark.parametrize("held", [Held("s-1", 1, 2**53), Held("s-1", 2**31 - 1, NOW_MS + 1)])
def test_a_damaged_device_does_not_drive_the_sites_numbers(held: Held) -> None:
    site = playing("a", "b")
    decision = control_session.reconcile(site, "a", held, now_ms=NOW_MS + 1)
    assert decision.site == site
    ((name, command),) = decision.commands
    assert (name, command.seq) == ("a", site.revision)


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
