"""Who leads, case by case: silences of masters, of everybody, of the cloud; restarts."""

from dataclasses import replace

import pytest

from tests.support.sessions import LEASE_MS, NOW_MS, asked, kinds, known, playing
from unisono.core import control_session, leadership
from unisono.core.cadence import MAX_RETURN_S
from unisono.core.election import is_alive
from unisono.core.flagset import change_flags
from unisono.core.leases import DAMPING_MS, MAX_DAMPING_MS
from unisono.core.session import Member
from unisono.core.site_document import Decision, Hearing, KnownDevice, Refused, SiteDocument
from unisono.core.votes import VOTE_GRACE_MS


def seen(**seen_ms: int) -> dict[str, KnownDevice]:
    return {n: replace(known(n)[n], seen_ms=ms) for n, ms in seen_ms.items()}


def says(
    name: str, hears: bool, term: int = 1, *, said_ms: int, session_id: str = "s-1"
) -> KnownDevice:
    """A device that calls at ``said_ms`` and says whether it hears the master of that term."""
    hearing = Hearing(session_id, term, hears)
    return replace(known(name, seen_ms=said_ms)[name], hearing=hearing, said_ms=said_ms)


def renewed(
    site: SiteDocument, before: dict[str, KnownDevice], caller: KnownDevice | str, now_ms: int
) -> Decision:
    if isinstance(caller, str):
        caller = known(caller, seen_ms=now_ms)[caller]
    return leadership.renew_leases(site, before, caller, now_ms=now_ms)


def test_a_silent_master_is_replaced_once() -> None:
    site = playing("a", "b", "c")
    start_at_ms = site.sessions[0].spec.start_at_ms
    late_ms = NOW_MS + LEASE_MS + 1
    heard = seen(a=NOW_MS, b=late_ms - 1, c=late_ms)
    moved = renewed(site, heard, "b", late_ms)
    record = moved.site.sessions[0]
    assert (record.spec.term, record.spec.master_device_id) == (2, "b")
    assert record.spec.start_at_ms == start_at_ms
    (event,) = moved.events
    assert (event.kind, event.term, event.device_id, event.detail) == (
        "failover",
        2,
        "b",
        "a was silent",
    )
    assert record.term_reason == "a was silent"
    assert {name for name, _ in moved.commands} == {"a", "b", "c"}
    again = renewed(moved.site, heard, "c", late_ms + 1)
    assert again.site == moved.site
    # The new master has a whole lease, though it was heard of before it was elected.
    kept = renewed(moved.site, heard, "a", late_ms + LEASE_MS)
    assert kept.site == moved.site


def test_a_master_is_kept_when_nobody_else_is_alive() -> None:
    site = playing("a", "b")
    late_ms = NOW_MS + 10 * LEASE_MS
    noted = renewed(site, seen(a=NOW_MS), "stranger", late_ms)
    assert (noted.commands, noted.events) == ((), ())
    assert noted.site.sessions[0].spec == site.sessions[0].spec
    # That nobody is heard of is written down once.
    assert renewed(noted.site, seen(a=NOW_MS), "stranger", late_ms + 5000).site == noted.site


def test_the_pinned_device_takes_over_from_others() -> None:
    devices = known("a", "b", "c")
    new = asked("a", "b", "c", pinned="b")
    site = control_session.create(SiteDocument(), new, devices, now_ms=NOW_MS).site
    late_ms = NOW_MS + LEASE_MS + 1
    site = renewed(site, seen(a=late_ms, b=NOW_MS, c=late_ms), "a", late_ms).site
    assert site.sessions[0].spec.master_device_id == "a"
    # It comes back, but the lead does not jump back by itself.
    assert renewed(site, seen(a=late_ms, b=NOW_MS, c=late_ms), "b", late_ms + 1).site == site
    # When the next master falls silent, the pinned one is the first choice.
    after_ms = late_ms + LEASE_MS + 2
    site = renewed(site, seen(a=late_ms, b=after_ms, c=after_ms), "c", after_ms).site
    assert site.sessions[0].spec.master_device_id == "b"


def test_when_the_cloud_was_away_the_first_caller_does_not_take_the_lead() -> None:
    site = playing("a", "b")
    back_ms = NOW_MS + LEASE_MS + 5000
    heard = seen(a=NOW_MS, b=NOW_MS + 1)
    waiting = renewed(site, heard, "b", back_ms)
    assert (waiting.commands, waiting.events) == ((), ())
    assert waiting.site.sessions[0].spec == site.sessions[0].spec
    assert waiting.site.revision == site.revision
    # They were away for 19.999 s: within so long again everybody has asked once more.
    end_ms = back_ms + LEASE_MS + 4999
    heard["b"] = replace(heard["b"], seen_ms=back_ms)
    for now_ms in (back_ms + 2000, back_ms + LEASE_MS, end_ms):
        assert renewed(waiting.site, heard, "b", now_ms).site == waiting.site
        heard["b"] = replace(heard["b"], seen_ms=now_ms)
    # Who has not come back by then is silent indeed.
    moved = renewed(waiting.site, heard, "b", end_ms + 1)
    assert kinds(moved) == ("failover",)
    assert moved.site.sessions[0].spec.master_device_id == "b"


def test_who_looks_late_still_knows_that_the_cloud_was_away() -> None:
    site = playing("a", "b", "c")
    back_ms = NOW_MS + 60_000
    heard = seen(a=NOW_MS, b=NOW_MS, c=NOW_MS)
    # A device of no session is the first to call; the others have called when somebody looks.
    site = renewed(site, heard, "stranger", back_ms).site
    heard |= seen(b=back_ms + 1000, c=back_ms + 2000)
    looked_ms = back_ms + 5000
    waiting = renewed(site, heard, "stranger", looked_ms)
    assert kinds(waiting) == ()
    end_ms = waiting.site.sessions[0].lease_from_ms + LEASE_MS
    assert end_ms == looked_ms + round(MAX_RETURN_S * 1000)
    heard |= seen(b=end_ms, c=end_ms)
    assert renewed(waiting.site, heard, "c", end_ms).site == waiting.site
    assert kinds(renewed(waiting.site, heard, "c", end_ms + 1)) == ("failover",)
    # A master that came back and falls silent later gets no more than its lease.
    heard |= seen(a=looked_ms + 100)
    later_ms = looked_ms + 100 + LEASE_MS + 1
    heard |= seen(b=later_ms, c=later_ms)
    assert kinds(renewed(site, heard, "b", later_ms)) == ("failover",)


def test_after_a_long_silence_the_wait_is_bounded() -> None:
    site = playing("a", "b")
    back_ms = NOW_MS + 86_400_000
    heard = seen(a=NOW_MS, b=NOW_MS)
    site = renewed(site, heard, "b", back_ms).site
    assert site.sessions[0].lease_from_ms + LEASE_MS == back_ms + round(MAX_RETURN_S * 1000)


def test_when_all_but_the_master_were_away_nothing_moves() -> None:
    site = playing("a", "b")
    late_ms = NOW_MS + 5 * LEASE_MS
    assert renewed(site, seen(a=late_ms - 1, b=NOW_MS), "b", late_ms).site == site


def test_a_follower_that_hears_the_master_keeps_it_in_the_lead() -> None:
    site = playing("a", "b", "c")
    late_ms = NOW_MS + LEASE_MS + 1
    heard = seen(a=NOW_MS, b=late_ms - 1000, c=late_ms - 1000)
    hears = says("b", True, said_ms=late_ms)
    assert renewed(site, heard, hears, late_ms).site == site
    # Nor does another one move it that says nothing, or that it does not hear it itself.
    with_b = heard | {"b": says("b", True, said_ms=late_ms - 2000)}
    assert renewed(site, with_b, "c", late_ms).site == site
    assert renewed(site, with_b, says("c", False, said_ms=late_ms), late_ms).site == site
    # An older term, another session, and what was said long ago do not count.
    for of in (Hearing("s-1", 0, True), Hearing("s-0", 1, True), None):
        caller = replace(hears, hearing=of)
        assert kinds(renewed(site, heard, caller, late_ms)) == ("failover",)
    with_b = heard | {"b": says("b", True, said_ms=late_ms - LEASE_MS - 1)}
    assert kinds(renewed(site, with_b, "c", late_ms)) == ("failover",)
    # Nor does what the master said of itself before it fell silent.
    with_a = heard | {"a": says("a", True, said_ms=NOW_MS + 1)}
    with_a["a"] = replace(with_a["a"], seen_ms=NOW_MS)
    assert kinds(renewed(site, with_a, "c", late_ms)) == ("failover",)


@pytest.mark.parametrize(("interval_ms", "lease_ms"), [(0, 7500), (5000, 7500), (1000, 2000)])
def test_one_follower_that_does_not_hear_it_shortens_the_lease(
    interval_ms: int, lease_ms: int
) -> None:
    site = playing("a", "b", "c", "d")
    seen_ms = NOW_MS + 60_000
    heard = seen(a=seen_ms, b=seen_ms, c=seen_ms, d=seen_ms)
    heard["a"] = replace(heard["a"], interval_ms=interval_ms)

    def judged(now_ms: int) -> Decision:
        return renewed(site, heard, says("b", False, said_ms=now_ms), now_ms)

    assert judged(seen_ms + lease_ms).site == site
    assert kinds(judged(seen_ms + lease_ms + 1)) == ("failover",)
    # Who says nothing leaves it as it is.
    assert renewed(site, heard, "b", seen_ms + lease_ms + 1).site == site


@pytest.mark.parametrize(("members", "unheard"), [("ab", "b"), ("abc", "bc"), ("abcde", "bcd")])
def test_most_others_move_the_lead_of_a_master_that_still_calls(members: str, unheard: str) -> None:
    site, now_ms = playing(*members), NOW_MS + 60_000
    heard = known(*members, seen_ms=now_ms - 1)
    heard |= {name: says(name, False, said_ms=now_ms - 1) for name in unheard}
    # Others may hear it.
    heard |= {n: says(n, True, said_ms=now_ms - 1) for n in set(members) - {"a", *unheard}}
    moved = renewed(site, heard, heard[unheard[-1]], now_ms)
    record = moved.site.sessions[0]
    assert record.term_reason == "most others did not hear a on the LAN"
    assert (record.spec.master_device_id, record.spec.term) == ("b", 2)
    assert kinds(moved) == ("failover",)
    # One less is no majority.
    last = unheard[-1]
    fewer = heard | {last: replace(heard[last], hearing=None)}
    assert renewed(site, fewer, fewer[last], now_ms).site == site


def test_a_vote_counts_after_a_grace_and_while_it_is_fresh() -> None:
    site = playing("a", "b")
    for said_ms, now_ms, counts in (
        (NOW_MS + VOTE_GRACE_MS - 1, NOW_MS + VOTE_GRACE_MS, False),
        (NOW_MS + VOTE_GRACE_MS, NOW_MS + VOTE_GRACE_MS, True),
        (NOW_MS + 20_000, NOW_MS + 20_000 + LEASE_MS, True),
        (NOW_MS + 20_000, NOW_MS + 20_000 + LEASE_MS + 1, False),
    ):
        heard = seen(a=now_ms) | {"b": says("b", False, said_ms=said_ms)}
        caller = replace(heard["b"], seen_ms=now_ms)
        assert kinds(renewed(site, heard, caller, now_ms)) == ("failover",) * counts
    # Who calls rarely hears late of a new term.
    rare = replace(says("b", False, said_ms=NOW_MS + 29_999), interval_ms=30_000)
    assert renewed(site, seen(a=NOW_MS + 29_000), rare, NOW_MS + 29_999).site == site


def test_a_lan_that_is_broken_does_not_pass_the_lead_around() -> None:
    site, now_ms = playing("a", "b"), NOW_MS
    moves_ms: list[int] = []
    for _ in range(600):
        now_ms += 2000
        spec = site.sessions[0].spec
        heard = {n: says(n, False, spec.term, said_ms=now_ms - 1000) for n in "ab"}
        follower = next(n for n in "ab" if n != spec.master_device_id)
        caller = replace(heard[follower], seen_ms=now_ms, said_ms=now_ms)
        moved = renewed(site, heard, caller, now_ms)
        moves_ms += [now_ms] * len(moved.events)
        site = moved.site
    # Once, because it may help; then not again while nobody hears anybody.
    assert len(moves_ms) == 1
    # Somebody heard the master meanwhile: when it is not heard any more, the other one may help.
    spec = site.sessions[0].spec
    follower = next(n for n in "ab" if n != spec.master_device_id)
    heard = known("a", "b", seen_ms=now_ms)
    site = renewed(site, heard, says(follower, True, spec.term, said_ms=now_ms), now_ms).site
    assert site.sessions[0].heard_ms == now_ms
    now_ms += 60_000
    again = says(follower, False, spec.term, said_ms=now_ms)
    moved = renewed(site, known("a", "b", seen_ms=now_ms), again, now_ms)
    assert kinds(moved) == ("failover",)
    # Within ten minutes it would not be given back.
    site = moved.site
    spec, now_ms = site.sessions[0].spec, now_ms + 60_000
    follower = next(n for n in "ab" if n != spec.master_device_id)
    again = says(follower, False, spec.term, said_ms=now_ms)
    assert renewed(site, known("a", "b", seen_ms=now_ms), again, now_ms).events == ()


@pytest.mark.parametrize("change", ["flags", "place", "operator"])
def test_a_change_of_the_session_lets_everybody_lead_again(change: str) -> None:
    site = playing("a", "b", "c")
    out = {"a": NOW_MS, "b": NOW_MS, "c": NOW_MS}
    deaf = replace(site.sessions[0], voted_out_ms=out, heard_by=1)
    site, now_ms = replace(site, sessions=(deaf,)), NOW_MS + 3_600_000
    heard = {n: says(n, False, said_ms=now_ms) for n in "abc"}
    assert renewed(site, heard, heard["b"], now_ms).events == ()
    if change == "flags":
        site = change_flags(site, {"SYNC_X": "1"}, who="", why="", now_ms=now_ms).site
    elif change == "place":
        site = control_session.move_member(site, Member("b", "10.0.0.9", 1, 2), now_ms=now_ms).site
    else:
        site = leadership.change_master(site, "s-1", heard, now_ms=now_ms).site
    assert site.sessions[0].voted_out_ms == {}
    now_ms += 60_000
    term = site.sessions[0].spec.term
    heard = {n: says(n, False, term, said_ms=now_ms) for n in "abc"}
    assert kinds(renewed(site, heard, heard["b"], now_ms)) == ("failover",)


def test_a_clock_that_was_put_back_does_not_switch_failover_off() -> None:
    hour_ms = 3_600_000
    record = playing("a", "b").sessions[0]
    ahead_ms = NOW_MS + hour_ms
    record = replace(
        record,
        lease_from_ms=ahead_ms,
        term_from_ms=ahead_ms,
        silent_ms=ahead_ms,
        moved_ms=(ahead_ms - 5000, ahead_ms),
        voted_out_ms={"b": ahead_ms},
    )
    site, moves_ms = SiteDocument(NOW_MS, (record,)), list[int]()
    heard = seen(a=ahead_ms, b=ahead_ms)
    for now_ms in range(NOW_MS, NOW_MS + 300_000, 5000):
        made = renewed(site, heard, "b", now_ms)
        heard["b"] = replace(heard["b"], seen_ms=now_ms)
        site = made.site
        moves_ms += [now_ms] * len(made.events)
        until = leadership.watch_until(site, heard, heard["b"], now_ms=now_ms)
        assert until["s-1"] <= now_ms + round(MAX_RETURN_S * 1000) + LEASE_MS
    assert len(moves_ms) == 1
    assert moves_ms[0] <= NOW_MS + 60_000


def test_instances_whose_clocks_differ_a_little_agree() -> None:
    site = playing("a", "b")
    heard = seen(a=NOW_MS + 5000, b=NOW_MS)
    assert renewed(site, heard, "b", NOW_MS).site == site
    assert is_alive(NOW_MS + 5000, now_ms=NOW_MS, lease_ms=LEASE_MS)
    assert not is_alive(NOW_MS + 5001, now_ms=NOW_MS, lease_ms=LEASE_MS)


def test_a_lead_that_moves_often_moves_less_and_less() -> None:
    site, now_ms, waits_ms = playing("a", "b"), NOW_MS + 60_000, list[int]()
    for _ in range(9):
        moved, waited_ms = site, 0
        while moved.sessions[0].spec.term == site.sessions[0].spec.term:
            # The master has been away since long; the other one is there.
            master = site.sessions[0].spec.master_device_id
            lease_over = replace(site.sessions[0], lease_from_ms=NOW_MS)
            other = next(n for n in "ab" if n != master)
            heard = seen(**{master: NOW_MS, other: now_ms - 1})
            waiting = replace(site, sessions=(lease_over,))
            moved = renewed(waiting, heard, other, now_ms).site
            now_ms, waited_ms = now_ms + 500, waited_ms + 500
        site = moved
        waits_ms.append(waited_ms)
    assert waits_ms[0] == 500
    assert [round(ms / DAMPING_MS) for ms in waits_ms[1:6]] == [1, 2, 4, 8, 16]
    assert max(waits_ms) <= MAX_DAMPING_MS + 500
    # An operator is not kept waiting, and afterwards it goes on as before.
    other = next(n for n in "ab" if n != site.sessions[0].spec.master_device_id)
    changed = leadership.change_master(
        site, "s-1", known("a", "b", seen_ms=now_ms), device_id=other, who="ana", now_ms=now_ms
    )
    assert [(e.kind, e.who, e.device_id) for e in changed.events] == [
        ("master_changed", "ana", other)
    ]
    assert changed.site.sessions[0].moved_ms == site.sessions[0].moved_ms


def test_the_successors_are_named_and_the_first_alive_leads() -> None:
    devices = known("a", "b", "c", "d", "e", "late") | seen(late=NOW_MS - LEASE_MS - 1)
    devices["e"] = replace(devices["e"], wired=True)
    devices["b"] = replace(devices["b"], wired=False)
    new = asked("a", "b", "c", "d", "e", "late")
    site = control_session.create(SiteDocument(), new, devices, now_ms=NOW_MS).site
    spec = site.sessions[0].spec
    assert (spec.master_device_id, spec.successors) == ("e", ("a", "c", "d"))
    # What was named counts, whatever is better by now; and the master that fell is not named.
    late_ms = NOW_MS + LEASE_MS + 1
    heard = seen(e=NOW_MS, a=NOW_MS, b=late_ms, c=late_ms, d=late_ms, late=late_ms)
    heard["late"] = replace(heard["late"], wired=True)
    site = renewed(site, heard, "c", late_ms).site
    spec = site.sessions[0].spec
    assert (spec.master_device_id, spec.successors) == ("c", ("late", "b", "d"))


def test_who_asks_for_the_master_to_change() -> None:
    site = playing("a", "b", "c")
    stopping = control_session.stop_session(site, "s-1", now_ms=NOW_MS).site
    with pytest.raises(Refused, match="is stopping") as caught:
        leadership.change_master(stopping, "s-1", known("a", "b"), now_ms=NOW_MS)
    assert caught.value.code == "unknown_session"
    late_ms = NOW_MS + 10 * LEASE_MS
    with pytest.raises(Refused, match="no other device"):
        leadership.change_master(site, "s-1", known("a", "b"), now_ms=late_ms)
    moved = leadership.change_master(site, "s-1", known("a", "b", "c"), now_ms=NOW_MS).site
    assert moved.sessions[0].spec.master_device_id == "b"
    same = leadership.change_master(moved, "s-1", known("a", "b"), device_id="b", now_ms=NOW_MS + 1)
    assert same == Decision(moved)


def test_a_master_whose_heartbeats_are_rare_has_a_longer_lease() -> None:
    site = playing("a", "b")
    heard = seen(a=NOW_MS, b=NOW_MS)
    heard["a"] = replace(heard["a"], interval_ms=30_000)
    for now_ms in range(NOW_MS + 5000, NOW_MS + 90_001, 5000):
        assert renewed(site, heard, "b", now_ms).site == site
        heard["b"] = replace(heard["b"], seen_ms=now_ms)
    assert kinds(renewed(site, heard, "b", NOW_MS + 90_001)) == ("failover",)
    # And such a device can be given the lead between two of its heartbeats.
    rare = replace(known("a")["a"], seen_ms=NOW_MS - 80_000, interval_ms=30_000)
    created = control_session.create(SiteDocument(), asked("a"), {"a": rare}, now_ms=NOW_MS)
    assert created.site.sessions[0].spec.master_device_id == "a"


def test_a_master_that_was_restarted_leads_a_new_term() -> None:
    devices = {n: replace(d, boot_id=f"{n}-1") for n, d in known("a", "b").items()}
    site = control_session.create(SiteDocument(), asked("a", "b"), devices, now_ms=NOW_MS).site

    def noted(site: SiteDocument, name: str, boot_id: str) -> Decision:
        return leadership.note_boot(site, name, boot_id, now_ms=NOW_MS + 1)

    for name, boot_id in (("a", "a-1"), ("a", ""), ("b", "b-2"), ("z", "z-1")):
        assert noted(site, name, boot_id).site == site
    decision = noted(site, "a", "a-2")
    record = decision.site.sessions[0]
    assert (record.spec.term, record.spec.master_device_id) == (2, "a")
    assert record.spec.start_at_ms == site.sessions[0].spec.start_at_ms
    assert record.term_reason == "a was restarted"
    assert kinds(decision) == ("master_restarted",)
    assert {name for name, _ in decision.commands} == {"a", "b"}
    assert noted(decision.site, "a", "a-2").site == decision.site


def test_two_machines_with_one_identity_are_noticed_and_followed_seldom() -> None:
    devices = {n: replace(d, boot_id=f"{n}-1") for n, d in known("a", "b").items()}
    site = control_session.create(SiteDocument(), asked("a", "b"), devices, now_ms=NOW_MS).site
    happened: list[str] = []
    for n in range(1440):
        now_ms, other = NOW_MS + 2500 * n, n % 2
        place = Member("a", f"10.0.0.{1 + other}", 7600, 7601)
        moved = control_session.move_member(site, place, now_ms=now_ms)
        booted = leadership.note_boot(moved.site, "a", f"a-{other + 1}", now_ms=now_ms)
        site = booted.site
        happened += kinds(moved) + kinds(booted)
    # An hour of it: the first change at once, then less and less often, and it is said once.
    assert happened[:2] == ["member_moved", "master_restarted"]
    assert happened.count("identity_shared") == 1
    limit = 3_600_000 // (DAMPING_MS << 4)
    assert 2 <= happened.count("member_moved") <= limit
    assert 2 <= happened.count("master_restarted") <= limit
    assert len(site.sessions[0].changes) <= 20
    # One of the two is switched off: the other one is followed, and all is forgotten.
    end_ms = NOW_MS + 3_600_000 + MAX_DAMPING_MS
    place = Member("a", "10.0.0.2", 7600, 7601)
    site = control_session.move_member(site, place, now_ms=end_ms).site
    site = leadership.note_boot(site, "a", "a-2", now_ms=end_ms).site
    record = site.sessions[0]
    assert (record.spec.member("a"), record.master_boot_id) == (place, "a-2")
    later = leadership.note_boot(site, "a", "a-1", now_ms=end_ms + 600_000)
    assert kinds(later) == ("master_restarted",)


def test_restarts_and_moves_that_are_no_sign_act_at_once() -> None:
    devices = {n: replace(d, boot_id=f"{n}-1") for n, d in known("a", "b").items()}
    site = control_session.create(SiteDocument(), asked("a", "b"), devices, now_ms=NOW_MS).site
    for n, wait_ms in ((2, 0), (3, 20_000), (4, 20_000)):
        now_ms = NOW_MS + wait_ms * n
        made = leadership.note_boot(site, "a", f"a-{n}", now_ms=now_ms)
        assert kinds(made) == ("master_restarted",)
        place = Member("b", "10.0.0.9", 7600 + n, 7601)
        moved = control_session.move_member(made.site, place, now_ms=now_ms)
        assert kinds(moved) == ("member_moved",)
        site = moved.site


def test_a_boot_that_was_not_known_is_noted_without_a_new_term() -> None:
    site = playing("a", "b")
    decision = leadership.note_boot(site, "a", "a-1", now_ms=NOW_MS + 1)
    assert decision.site.sessions[0].master_boot_id == "a-1"
    assert (decision.site.revision, decision.commands) == (site.revision, ())
    # The next master's boot is known from its heartbeats when it is given the lead.
    late_ms = NOW_MS + LEASE_MS + 1
    caller = replace(known("b")["b"], seen_ms=late_ms, boot_id="b-7")
    moved = renewed(decision.site, seen(a=NOW_MS, b=late_ms - 1), caller, late_ms)
    assert moved.site.sessions[0].master_boot_id == "b-7"
