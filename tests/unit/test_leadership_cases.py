"""Who leads, case by case: silences of masters, of everybody, of the cloud; restarts."""

from dataclasses import replace

from tests.support.sessions import LEASE_MS, NOW_MS, asked, known, playing
from unisono.core import control_session, leadership
from unisono.core.cadence import MAX_RETURN_S
from unisono.core.site_document import Decision, KnownDevice, SiteDocument


def seen(**seen_ms: int) -> dict[str, KnownDevice]:
    return {n: replace(known(n)[n], seen_ms=ms) for n, ms in seen_ms.items()}


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
    assert moved.events == ("failover",)
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
    assert renewed(site, seen(a=NOW_MS), "stranger", late_ms).site == site


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
    assert moved.events == ("failover",)
    assert moved.site.sessions[0].spec.master_device_id == "b"


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

    def says(of: tuple[str, int] | None, name: str, said_ms: int = late_ms) -> KnownDevice:
        return replace(known(name)[name], seen_ms=late_ms, in_lan=of, said_ms=said_ms)

    assert renewed(site, heard, says(("s-1", 1), "b"), late_ms).site == site
    # Nor does another one move it that does not hear it itself.
    with_b = heard | {"b": says(("s-1", 1), "b", late_ms - 2000)}
    assert renewed(site, with_b, "c", late_ms).site == site
    # An older term, another session, and what was said long ago do not count.
    for of in (("s-1", 0), ("s-0", 1), None):
        assert renewed(site, heard, says(of, "b"), late_ms).events == ("failover",)
    with_b = heard | {"b": says(("s-1", 1), "b", late_ms - LEASE_MS - 1)}
    assert renewed(site, with_b, "c", late_ms).events == ("failover",)
    # Nor does what the master said of itself before it fell silent.
    with_a = heard | {"a": replace(heard["a"], in_lan=("s-1", 1), said_ms=NOW_MS + 1)}
    assert renewed(site, with_a, "c", late_ms).events == ("failover",)


def test_a_master_whose_heartbeats_are_rare_has_a_longer_lease() -> None:
    site = playing("a", "b")
    heard = seen(a=NOW_MS, b=NOW_MS)
    heard["a"] = replace(heard["a"], interval_ms=30_000)
    for now_ms in range(NOW_MS + 5000, NOW_MS + 90_001, 5000):
        assert renewed(site, heard, "b", now_ms).site == site
        heard["b"] = replace(heard["b"], seen_ms=now_ms)
    assert renewed(site, heard, "b", NOW_MS + 90_001).events == ("failover",)
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
    assert decision.events == ("master_restarted",)
    assert {name for name, _ in decision.commands} == {"a", "b"}
    assert noted(decision.site, "a", "a-2").site == decision.site


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
