"""Logs of a site: pages, what may push what out, what is written together; thinned drift."""

from dataclasses import replace
from typing import Any

import pytest

from unisono.core.site_document import SiteEvent
from unisono.state import DocumentStore, StateError, Store, keys
from unisono.state.account_documents import keep_login
from unisono.state.documents import NO_SITE, Batch, Kept
from unisono.state.paging import Cursor, Page
from unisono.state.records import (
    Account,
    AccountRole,
    DriftPoint,
    EnrolToken,
    Login,
    TelemetryItem,
)
from unisono.state.store import DropFields, SetFields

NOW_MS = 1_780_000_000_000
EVA = Account("eva", AccountRole.OPERATOR, "scrypt...", ("lobby",))


@pytest.fixture
def store(raw: Store) -> DocumentStore:
    return DocumentStore(raw, "test")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
async def test_pages_lose_nothing_and_repeat_nothing(store: DocumentStore, limit: int) -> None:
    batch, made = store.batch("lobby"), set()
    for number in range(12):
        # Several share a millisecond, over the edges of pages and in both logs.
        at_ms = NOW_MS + (0 if number < 7 else number // 3)
        for kind in ("session_created", "fallback"):
            event = SiteEvent(kind, at_ms, detail=str(number))
            batch.happened(event)
            made.add(event)
        batch.append(keys.TELEMETRY_LOG, at_ms, TelemetryItem("q", number, 5), part="a")
    assert await store.settle(batch)
    events: list[SiteEvent] = []
    page: Page[SiteEvent] = await store.events("lobby", limit=limit)
    events += page.items
    while page.next is not None:
        assert len(page.items) == limit
        page = await store.events("lobby", before=Cursor.of(str(page.next)), limit=limit)
        events += page.items
    assert len(events) == len(made)
    assert set(events) == made
    assert [e.at_ms for e in events] == sorted((e.at_ms for e in made), reverse=True)
    # The same of what a device delivered, which is ordered by when it was believed to happen.
    span: dict[str, Any] = {"from_ms": NOW_MS, "to_ms": NOW_MS + 99}
    items = await store.telemetry("lobby", "a", **span, limit=limit)
    numbers = [item.seq for item in items.items]
    while items.next is not None:
        items = await store.telemetry("lobby", "a", **span, before=items.next, limit=limit)
        numbers += [item.seq for item in items.items]
    assert sorted(numbers) == list(range(12))


@pytest.fixture
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVENT_LOG", "DEVICE_LOG"):
        monkeypatch.setattr(keys, name, replace(getattr(keys, name), keep=50))


@pytest.mark.usefixtures("short_logs")
async def test_what_devices_bring_about_pushes_nothing_else_out(store: DocumentStore) -> None:
    batch = store.batch("lobby")
    batch.happened(SiteEvent("device_revoked", NOW_MS, who="eva"))
    batch.happened(SiteEvent("flags_changed", NOW_MS, who="eva"))
    assert await store.settle(batch)
    kinds = ("fault", "device_event", "command_failed", "master_restarted")
    batch = store.batch("lobby")
    for number in range(keys.DEVICE_LOG.keep + 20):
        kind = kinds[number % len(kinds)]
        batch.happened(SiteEvent(kind, NOW_MS + 1 + number, device_id="a"))
    assert await store.settle(batch)
    page = await store.events("lobby", limit=keys.DEVICE_LOG.keep + 10)
    assert [event.kind for event in page.items[-2:]] == ["flags_changed", "device_revoked"]
    assert len(page.items) == keys.DEVICE_LOG.keep + 2


@pytest.mark.usefixtures("short_logs")
async def test_changes_of_flags_outlast_the_log(store: DocumentStore) -> None:
    batch = store.batch("lobby")
    batch.happened(SiteEvent("flags_changed", NOW_MS, who="eva"))
    assert await store.settle(batch)
    batch = store.batch("lobby")
    for number in range(keys.EVENT_LOG.keep):
        batch.happened(SiteEvent("failover", NOW_MS + 1, str(number)))
    assert await store.settle(batch)
    kinds = {event.kind for event in (await store.events("lobby", limit=9999)).items}
    assert kinds == {"failover"}
    assert [e.who for e in await store.flag_changes("lobby", 9)] == ["eva"]


async def test_what_is_done_to_accounts_is_written_down_with_it_or_not_at_all(
    store: DocumentStore,
) -> None:
    def noted() -> Batch:
        batch = store.batch()
        batch.happened(SiteEvent("account_created", NOW_MS, who="max"))
        keep_login(batch, "d1", Login("eva", "csrf", NOW_MS, "00"))
        return batch

    assert not await store.put_account("eva", EVA, b"something else", noted())
    assert (await store.events(NO_SITE, limit=9)).items == []
    assert await store.login("d1") is None
    assert await store.put_account("eva", EVA, None, noted())
    assert [e.kind for e in (await store.events(NO_SITE, limit=9)).items] == ["account_created"]
    assert await store.login("d1") is not None


async def test_tokens_are_given_out_with_their_note_or_not_at_all(
    store: DocumentStore, raw: Store
) -> None:
    made = SiteEvent("enrol_tokens_made", NOW_MS, who="eva")
    await raw.write([SetFields("test:{lobby}:events", {made.kind: b"no number"})])
    with pytest.raises(StateError):
        await store.add_tokens("lobby", {"x": EnrolToken(None)}, now_ms=NOW_MS, events=[made])
    assert await store.token("lobby", "x") == Kept()
    await raw.write([DropFields("test:{lobby}:events", None)])
    await store.add_tokens("lobby", {"x": EnrolToken(None)}, now_ms=NOW_MS, events=[made])
    assert (await store.events("lobby", limit=9)).items == [made]


async def test_much_drift_is_thinned_evenly(store: DocumentStore) -> None:
    for name in ("a", "b"):
        batch = store.batch("lobby")
        for number in range(300):
            point = DriftPoint(number, 0.5, "lan", 1)
            batch.append(keys.DRIFT_LOG, NOW_MS + number, point, part=name)
        assert await store.settle(batch)
    span: dict[str, Any] = {"from_ms": NOW_MS, "to_ms": NOW_MS + 299}
    found = await store.drift("lobby", ["a", "b", "c"], **span, most=90)
    assert [at_ms - NOW_MS for at_ms, _ in found["a"]] == list(range(9, 300, 10))
    assert (len(found["b"]), found["c"]) == (30, [])
    assert len((await store.drift("lobby", ["a"], **span, most=300))["a"]) == 300
    assert len((await store.drift("lobby", ["a"], **span, most=299))["a"]) == 150
    # Every device has one point at least.
    few = await store.drift("lobby", ["a", "b"], **span, most=1)
    assert [[at_ms for at_ms, _ in points] for points in few.values()] == [[NOW_MS + 299]] * 2
