"""Sites over minutes of virtual time: devices call at their own intervals, one looks when due.

What must hold of a single decision is tested elsewhere; here it is what comes of many: that a
master that died is replaced in time though nearly no call looks at all devices, that nothing
moves without cause, and that nothing moves for ever.
"""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sessions import LEASE_MS, NOW_MS, Cloud, asked, known
from unisono.core import control_session
from unisono.core.cadence import MAX_RETURN_S
from unisono.core.election import own_lease_ms
from unisono.core.leases import MEMORY_MS
from unisono.core.site_document import Hearing, KnownDevice

MEMBERS = "abcdefgh"
STRANGERS = "xyz"
MINUTE_MS = 60_000


@dataclass
class Caller:
    """A device that calls every ``interval_ms``, but for a time in which it is off."""

    name: str
    interval_ms: int
    next_ms: int
    off_from_ms: int = 10**15
    off_until_ms: int = 10**15
    term: int = 1
    master: str = ""

    def is_off(self, now_ms: int) -> bool:
        return self.off_from_ms <= now_ms < self.off_until_ms


@dataclass
class Site:
    """One session of some devices, and others at the same site that play nothing."""

    callers: list[Caller]
    cloud: Cloud
    now_ms: int = NOW_MS
    cloud_back_ms: int = NOW_MS
    # Masters that nobody hears on the LAN; None: the LAN is not in use.
    unheard: set[str] | None = field(default_factory=set)
    # Who hears whom; none: everybody does.
    parts: tuple[str, ...] = ()

    def run(self, until_ms: int) -> None:
        """Let time pass. Who finds the cloud away asks again every few seconds."""
        while True:
            caller = min(self.callers, key=lambda c: (c.next_ms, c.name))
            if caller.next_ms > until_ms:
                self.now_ms = until_ms
                return
            self.now_ms = caller.next_ms
            caller.next_ms += caller.interval_ms
            if self.now_ms >= self.cloud_back_ms and not caller.is_off(self.now_ms):
                self.call(caller)

    def call(self, caller: Caller) -> None:
        hearing = None
        if self.unheard is not None and caller.name in MEMBERS:
            hears = caller.master not in self.unheard
            if self.parts:
                hears = any({caller.name, caller.master} <= set(part) for part in self.parts)
            hearing = Hearing("s-1", caller.term, hears)
        place = known(caller.name)[caller.name].place
        device = KnownDevice(
            caller.name, place, self.now_ms, caller.interval_ms, "boot", hearing, self.now_ms
        )
        self.cloud.call(device, self.now_ms)
        # By its next call it holds the newest term.
        caller.term = self.cloud.document.sessions[0].spec.term
        caller.master = self.master

    @property
    def master(self) -> str:
        return self.cloud.document.sessions[0].spec.master_device_id

    @property
    def moves_ms(self) -> list[int]:
        return [event.at_ms for event in self.cloud.events if event.kind == "failover"]


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """A session of some devices that play well, all just heard of."""
    members = MEMBERS[: draw(st.integers(2, len(MEMBERS)))]
    strangers = STRANGERS[: draw(st.integers(0, len(STRANGERS)))]
    intervals = st.sampled_from([1000, 5000, 5000, 9000])
    callers = []
    for name in members + strangers:
        interval_ms = draw(intervals)
        first_ms = NOW_MS + draw(st.integers(0, interval_ms))
        callers.append(Caller(name, interval_ms, first_ms))
    cloud = Cloud(devices=known(*(c.name for c in callers)))
    for caller in callers:
        here = cloud.devices[caller.name]
        cloud.devices[caller.name] = replace(here, interval_ms=caller.interval_ms)
    new = asked(*members)
    cloud.apply(control_session.create(cloud.document, new, cloud.devices, now_ms=NOW_MS))
    # The members take it up.
    record = cloud.document.sessions[0]
    for caller in callers:
        caller.master = record.spec.master_device_id
    cloud.answers["s-1", record.revision, "done"] = len(members)
    return Site(callers, cloud)


fast = settings(max_examples=15, deadline=None)
long = settings(max_examples=4, deadline=None)


@fast
@given(sites())
def test_while_all_is_well_nothing_moves_and_nobody_looks(site: Site) -> None:
    site.run(NOW_MS + MINUTE_MS)
    looks = site.cloud.looks
    site.run(NOW_MS + 10 * MINUTE_MS)
    assert site.moves_ms == []
    assert site.cloud.looks == looks <= 2


@fast
@given(sites(), st.integers(0, 9000), st.booleans())
def test_a_master_that_dies_is_replaced_in_time(site: Site, dies_ms: int, heard: bool) -> None:
    dead = next(c for c in site.callers if c.name == site.master)
    dead.off_from_ms = NOW_MS + MINUTE_MS + dies_ms
    site.run(dead.off_from_ms)
    # Its beat is gone, too; or the LAN was not in use at all.
    site.unheard = {dead.name} if heard else None
    slowest_ms = max(c.interval_ms for c in site.callers)
    lease_ms = own_lease_ms(dead.interval_ms, LEASE_MS)
    site.run(dead.off_from_ms + lease_ms + slowest_ms + LEASE_MS)
    assert len(site.moves_ms) == 1
    assert site.master != dead.name
    fastest_ms = min(c.interval_ms for c in site.callers if c is not dead)
    assert site.moves_ms[0] <= dead.off_from_ms + lease_ms + max(fastest_ms, 1)
    if heard and len([c for c in site.callers if c.name in MEMBERS]) > 2:
        # All say so in their next calls.
        assert site.moves_ms[0] <= dead.off_from_ms + slowest_ms
    # When it comes back it follows, and that is all.
    dead.off_until_ms = site.now_ms
    site.run(site.now_ms + 5 * MINUTE_MS)
    assert len(site.moves_ms) == 1


# An outage that is shorter than a lease cannot be told from a silence of some devices.
@fast
@given(sites(), st.integers(40_000, 3_600_000), st.data())
def test_a_cloud_that_was_away_takes_the_lead_from_nobody(
    site: Site, away_ms: int, data: st.DataObject
) -> None:
    site.run(NOW_MS + MINUTE_MS)
    site.cloud_back_ms = site.now_ms + away_ms
    for caller in site.callers:
        # Backed off: each comes back within as long as it was away, up to a limit.
        late_ms = data.draw(st.integers(0, min(away_ms, round(MAX_RETURN_S * 1000))))
        caller.next_ms = site.cloud_back_ms + late_ms
    site.unheard = None
    site.run(site.cloud_back_ms + 5 * MINUTE_MS)
    assert site.moves_ms == []


@fast
@given(sites(), st.integers(0, 9000))
def test_a_master_whose_way_to_the_cloud_is_broken_keeps_the_lead(
    site: Site, breaks_ms: int
) -> None:
    cut = next(c for c in site.callers if c.name == site.master)
    cut.off_from_ms = NOW_MS + MINUTE_MS + breaks_ms
    site.run(cut.off_from_ms + 10 * MINUTE_MS)
    assert site.moves_ms == []
    # Somebody looks now and then: when what the followers said last is no longer fresh.
    assert site.cloud.looks <= 10 * MINUTE_MS / (LEASE_MS - 9000) + 3


def site_of(members: str) -> Site:
    """A session of these devices, which call every 5 s, one after the other."""
    callers = [Caller(name, 5000, NOW_MS + 300 * n) for n, name in enumerate(members)]
    cloud = Cloud(devices=known(*members))
    cloud.apply(
        control_session.create(cloud.document, asked(*members), known(*members), now_ms=NOW_MS)
    )
    record = cloud.document.sessions[0]
    for caller in callers:
        caller.master = record.spec.master_device_id
    cloud.answers["s-1", record.revision, "done"] = len(members)
    return Site(callers, cloud)


@long
@given(sites())
def test_a_lan_that_nobody_hears_lets_each_member_lead_once(site: Site) -> None:
    site.unheard = set(MEMBERS)
    site.run(NOW_MS + 2 * MEMORY_MS)
    assert len(site.moves_ms) < sum(c.name in MEMBERS for c in site.callers)


@pytest.mark.parametrize("members", [MEMBERS[:2], MEMBERS[:5], MEMBERS])
def test_a_lan_that_nobody_hears_for_hours_does_not_pass_the_lead_around(members: str) -> None:
    site = site_of(members)
    site.unheard = set(MEMBERS)
    site.run(NOW_MS + 2 * 60 * MINUTE_MS)
    assert len(site.moves_ms) == len(members) - 1
    # It is mended: nothing moves. It breaks again: somebody else is tried.
    site.unheard = set()
    site.run(site.now_ms + 30 * MINUTE_MS)
    assert len(site.moves_ms) == len(members) - 1
    looks = site.cloud.looks
    site.run(site.now_ms + 10 * MINUTE_MS)
    assert site.cloud.looks == looks
    site.unheard = {site.master}
    site.run(site.now_ms + MINUTE_MS)
    assert len(site.moves_ms) == len(members)


def test_a_lan_in_two_parts_does_not_pass_the_lead_around() -> None:
    site = site_of("abcd")
    site.parts = ("ab", "cd")
    site.run(NOW_MS + 2 * 60 * MINUTE_MS)
    assert len(site.moves_ms) <= 8
    assert site.moves_ms[-1] < NOW_MS + 60 * MINUTE_MS


@long
@given(sites())
def test_a_session_whose_devices_are_all_off_costs_little_and_comes_back(site: Site) -> None:
    members = [c for c in site.callers if c.name in MEMBERS]
    off_ms, back_ms, site.unheard = NOW_MS + 2 * MINUTE_MS, NOW_MS + 20 * MINUTE_MS, None
    dead = next(c for c in members if c.name == site.master)
    for caller in members:
        # The master is the last to go, and does not come back.
        caller.off_from_ms = off_ms if caller is dead else off_ms - MINUTE_MS
        caller.off_until_ms = 10**15 if caller is dead else back_ms
    site.run(off_ms + MINUTE_MS)
    looks, document = site.cloud.looks, site.cloud.document
    site.run(back_ms - 1)
    assert site.cloud.document == document
    assert site.cloud.looks - looks <= 17 * MINUTE_MS / (LEASE_MS / 3) + 1
    assert site.moves_ms == []
    # One of the others leads as soon as all have had their time.
    site.run(back_ms + 2 * MINUTE_MS)
    assert len(site.moves_ms) == 1
    assert site.moves_ms[0] > back_ms + round(MAX_RETURN_S * 1000)
    assert site.master != dead.name
