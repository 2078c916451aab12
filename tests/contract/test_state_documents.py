"""The control plane's documents: views, and what `settle` makes durable."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.site_records import NOW_MS, REPORT, SITE, STATUS, ended, record
from unisono.core.commands import Command, prepare, stop
from unisono.core.session_state import Progress, SessionState
from unisono.core.site_document import Decision, SiteDocument, SiteEvent
from unisono.state import DocumentStore, Store, keys
from unisono.state.documents import Batch, DeviceView, Others
from unisono.state.records import (
    Ack,
    Delivered,
    DeviceRecord,
)
from unisono.state.store import Fields, SetFields


@pytest.fixture
def store(raw: Store) -> DocumentStore:
    return DocumentStore(raw, "test")


async def look(store: DocumentStore, device_id: str = "a", **more: bool) -> DeviceView:
    return await store.device_view(SITE, device_id, now_ms=NOW_MS, window=5, **more)


async def settled(
    store: DocumentStore, decision: Decision, view: DeviceView, batch: Batch | None = None
) -> bool:
    return await store.settle(batch or store.batch(SITE), view=view, decision=decision)


async def leads(store: DocumentStore) -> Mapping[str, int]:
    return (await look(store)).leads


async def test_a_site_of_which_nothing_is_known(store: DocumentStore) -> None:
    view = await look(store)
    assert (view.version, view.site, view.queue) == (0, SiteDocument(), ())
    assert (view.record.value, view.record.raw, view.report, view.calls) == (None, None, None, 0)
    assert (view.others, view.leads, view.progress) == (None, {}, {})
    everyone = await look(store, everyone=True)
    assert everyone == replace(view, others=Others({}, {}, {}))
    site = await store.site_view(SITE)
    assert (site.exists, site.version, site.site, site.devices) == (False, 0, SiteDocument(), {})


async def test_a_view_holds_what_was_written(store: DocumentStore) -> None:
    mine, enrolled = prepare(record().spec, 7, NOW_MS), DeviceRecord("a", "00", NOW_MS)
    delivered, ack = Delivered({"q": 3}), Ack("c", "done", "", NOW_MS)
    batch = store.batch(SITE)
    for name in ("a", "b"):
        batch.put(keys.DEVICES, name, replace(enrolled, device_id=name))
        batch.put(keys.REPORTS, name, REPORT)
        batch.put(keys.STATUSES, name, STATUS)
        batch.put(keys.SEEN, name, NOW_MS)
    batch.put(keys.DELIVERED, "a", delivered)
    batch.put(keys.ACKS, "a", ack)
    batch.enqueue([("a", mine), ("b", replace(mine, seq=8)), ("a", mine)])
    batch.add(keys.RATE, "a", 3, part="5")
    batch.add(keys.RATE, "a", 9, part="4")
    batch.add(keys.REQUESTS, "heartbeat 200", 2)
    batch.add(keys.CPU, "heartbeat", 150)
    assert await store.settle(batch)
    view = await look(store)
    assert view.record.value == enrolled
    assert (view.delivered.value, view.ack.value) == (delivered, ack)
    assert view.queue == (mine,)
    assert (view.report, view.status, view.seen_ms, view.calls) == (REPORT, STATUS, NOW_MS, 3)
    both = {"a": REPORT, "b": REPORT}
    others = Others(both, {"a": STATUS, "b": STATUS}, {"a": NOW_MS, "b": NOW_MS})
    assert (await look(store, everyone=True)).others == others
    site = await store.site_view(SITE)
    assert (site.reports, site.seen_ms, site.acks) == (both, others.seen_ms, {"a": ack})
    assert (set(site.devices), set(site.statuses)) == ({"a", "b"}, {"a", "b"})
    assert (site.requests, site.cpu_us) == ({"heartbeat 200": 2}, {"heartbeat": 150})
    # Another site knows nothing of it.
    assert (await store.site_view("hall")).reports == {}


async def test_a_decision_is_settled_once(store: DocumentStore, raw: Store) -> None:
    empty = await look(store)
    first = record()
    command = prepare(first.spec, 7, NOW_MS)
    made = Decision(
        SiteDocument(7, (first,)),
        (("a", command), ("b", command)),
        events=(SiteEvent("session_created", NOW_MS, "s1"),),
    )
    assert await settled(store, made, empty)
    assert not await settled(store, replace(made, site=SiteDocument(8)), empty)
    view = await look(store, "b")
    assert (view.version, view.site, view.queue) == (1, made.site, (command,))
    over, next_one = ended(first), record("s2", 9)
    halt = stop("s1", 1, 8, NOW_MS)
    events = (SiteEvent("session_replaced", NOW_MS + 1, "s1"), SiteEvent("x", NOW_MS + 2, "s2"))
    site = SiteDocument(9, (next_one,))
    assert await settled(store, Decision(site, (("a", halt),), (over,), events), view)
    assert (await look(store, "a")).queue == (halt,)  # in the place of what it supersedes
    assert await store.ended(SITE, "s1") == over
    assert await store.ended(SITE, "s2") is None
    assert await store.history(SITE, 9) == [over]
    # What is kept of it for a month has no secret in it.
    (kept,) = await raw.read([Fields("test:{lobby}:ended:s1")])
    assert b'"secret_hex":""' in kept["d"]
    counted = (await store.site_view(SITE)).events
    assert counted == {"session_created": 1, "session_replaced": 1, "x": 1}
    assert (await store.events(SITE, limit=2)).items == list(reversed(events))
    assert await store.days(SITE, ["20260528", "20260529"]) == {
        "20260528": {"event session_created": 1, "event session_replaced": 1, "event x": 1},
        "20260529": {},
    }


async def test_what_changes_nothing_leaves_the_document_alone(store: DocumentStore) -> None:
    assert await settled(store, Decision(SiteDocument(7, (record(),))), await look(store))
    early, late = await look(store), await look(store)
    assert await settled(store, Decision(SiteDocument(8, (record(),))), early)
    batch = store.batch(SITE)
    batch.put(keys.SEEN, "a", NOW_MS)
    # It was read before the change and stays valid, since it changes nothing.
    assert await settled(store, Decision(late.site), late, batch)
    # But commands would take the place of newer ones: they must rest on what is there now.
    again: list[tuple[str, Command]] = [("a", prepare(record().spec, 7, NOW_MS))]
    assert not await settled(store, Decision(late.site, tuple(again)), late)
    view = await look(store)
    assert (view.version, view.site.revision, view.seen_ms) == (2, 8, NOW_MS)
    assert view.queue == ()
    assert await settled(store, Decision(view.site, tuple(again)), view)
    assert (await look(store)).queue == (again[0][1],)
    assert await store.settle(store.batch(SITE), view=view, decision=Decision(view.site))
    with pytest.raises(ValueError, match="view"):
        await store.settle(store.batch(SITE), decision=Decision(view.site))


async def test_a_guard_that_fails_leaves_everything_as_it_was(store: DocumentStore) -> None:
    batch = store.batch(SITE)
    batch.put(keys.ACKS, "a", Ack("c", "done", "", NOW_MS))
    assert await store.settle(batch)
    view = await look(store)
    batch = store.batch(SITE)
    batch.expect(keys.ACKS, "a", None)
    batch.add(keys.REQUESTS, "ack 200")
    assert not await settled(store, Decision(SiteDocument(1, (record(),))), view, batch)
    right = store.batch(SITE)
    right.expect(keys.ACKS, "a", view.ack.raw)
    right.extend(batch)
    assert not await store.settle(right)
    assert (await store.site_view(SITE)).requests == {}
    right.guards.pop()
    assert await settled(store, Decision(SiteDocument(1, (record(),))), view, right)
    assert (await store.site_view(SITE)).requests == {"ack 200": 1}
    with pytest.raises(ValueError, match="hall"):
        batch.extend(store.batch("hall"))


async def test_an_old_record_is_guarded_by_the_bytes_it_was_read_from(
    store: DocumentStore, raw: Store
) -> None:
    old = b'{"device_id": "a", "secret_sha256": "00", "enrolled_ms": 5, "colour": "red"}'
    await raw.write([SetFields("test:{lobby}:devices", {"a": old})])
    view = await look(store)
    assert view.record.value == DeviceRecord("a", "00", 5)
    batch = store.batch(SITE)
    batch.expect(keys.DEVICES, "a", view.record.raw)
    batch.put(keys.DEVICES, "a", DeviceRecord("a", "11", 5))
    assert await store.settle(batch)
    assert not await store.settle(batch)


async def test_progress_is_counted_by_revision(store: DocumentStore) -> None:
    assert await settled(store, Decision(SiteDocument(7, (record(),))), await look(store))
    batch = store.batch(SITE)
    for name in ("s1 7 done", "s1 7 done", "s1 7 failed", "s1 done", "s1 done", "gone 3 done"):
        batch.add(keys.PROGRESS, name)
    assert await store.settle(batch)
    view = await look(store)
    assert view.progress == {"s1": Progress(done=2, failed=1, ever_done=2)}
    assert view.strays == ("gone 3 done",)
    assert (await store.site_view(SITE)).progress == view.progress
    assert await settled(store, Decision(SiteDocument(9, (record(revision=9),))), view)
    view = await look(store)
    assert (view.progress, view.strays) == ({"s1": Progress(0, 0, 2)}, ())
    over = ended(view.site.sessions[0])
    assert await settled(store, Decision(SiteDocument(9), ended=(over,)), view)
    await settled(store, Decision(SiteDocument(10, (record(),))), await look(store))
    assert (await look(store)).progress == {"s1": Progress()}


async def test_who_is_read_depends_on_the_leads(store: DocumentStore) -> None:
    first, second = record("s1"), record("s2")
    batch = store.batch(SITE)
    batch.put(keys.LEADS, "s1", NOW_MS)
    made = Decision(SiteDocument(7, (first, second)))
    assert await settled(store, made, await look(store), batch)
    # What the batch says of a session holds; after any other one somebody has to look.
    assert await leads(store) == {"s1": NOW_MS, "s2": 0}
    assert (await look(store)).others is not None
    batch = store.batch(SITE)
    batch.put(keys.LEADS, "s2", NOW_MS)
    assert await store.settle(batch)
    view = await look(store)
    assert view.others is None
    later = await store.device_view(SITE, "a", now_ms=NOW_MS + 1, window=5)
    assert later.others == Others({}, {}, {})
    stopping = replace(second, state=SessionState.STOPPING)
    made = Decision(SiteDocument(8, (replace(first, term_reason="moved"), stopping)))
    assert await settled(store, made, view)
    assert await leads(store) == {"s1": 0}
    view = await look(store)
    assert await settled(store, Decision(SiteDocument(8, (stopping,)), ended=(ended(first),)), view)
    assert await leads(store) == {}


async def test_a_damaged_document_is_made_anew(store: DocumentStore, raw: Store) -> None:
    assert await settled(store, Decision(SiteDocument(7, (record(),))), await look(store))
    await raw.write([SetFields("test:{lobby}:site", {"d": b"\xff"})])
    view = await look(store)
    assert (view.version, view.site) == (1, SiteDocument())
    assert await settled(store, Decision(SiteDocument(8)), view)
    assert (await look(store)).version == 2
