"""Tokens, accounts, logins, throttles, and the logs of a site."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from unisono.core.site_document import SiteEvent
from unisono.state import DocumentStore, Store, keys
from unisono.state.account_documents import end_login, keep_login
from unisono.state.documents import NO_SITE, Kept
from unisono.state.paging import Cursor, Page
from unisono.state.records import (
    Account,
    AccountRole,
    DriftPoint,
    EnrolToken,
    Login,
    TelemetryItem,
)
from unisono.state.store import Fields, SetFields

NOW_MS = 1_780_000_000_000
EVA = Account("eva", AccountRole.OPERATOR, "scrypt...", ("lobby",))


@pytest.fixture
def store(raw: Store) -> DocumentStore:
    return DocumentStore(raw, "test")


async def test_tokens_that_expired_are_forgotten(store: DocumentStore) -> None:
    old, good, always = EnrolToken(NOW_MS), EnrolToken(NOW_MS + 1), EnrolToken(None)
    tokens = {"old": old, "good": good, "always": always}
    await store.add_tokens("lobby", tokens, now_ms=NOW_MS - 1)
    await store.add_tokens("lobby", {"new": good}, now_ms=NOW_MS)
    assert await store.token("lobby", "old") == Kept()
    for name, token in {"good": good, "always": always, "new": good}.items():
        assert (await store.token("lobby", name)).value == token


async def test_an_account_changes_only_from_what_was_read(store: DocumentStore) -> None:
    assert await store.account("eva") == Kept()
    assert await store.put_account("eva", EVA, None)
    assert not await store.put_account("eva", EVA, None)
    kept = await store.account("eva")
    assert kept.value == EVA
    disabled = replace(EVA, disabled=True)
    assert await store.put_account("eva", disabled, kept.raw)
    assert not await store.put_account("eva", None, kept.raw)
    assert await store.put_account("max", replace(EVA, name="max"), None)
    accounts = await store.accounts()
    assert {name: kept.value for name, kept in accounts.items()} == {
        "eva": disabled,
        "max": replace(EVA, name="max"),
    }
    assert await store.put_account("eva", None, accounts["eva"].raw)
    assert set(await store.accounts()) == {"max"}


async def test_a_login_lasts_until_it_is_dropped(store: DocumentStore) -> None:
    login = Login("eva", "csrf", NOW_MS, "00")
    batch = store.batch()
    keep_login(batch, "d1", login)
    keep_login(batch, "d2", replace(login, at_ms=NOW_MS + 1))
    assert await store.settle(batch)
    assert await store.login("d1") == login
    batch = store.batch()
    end_login(batch, "d1")
    assert await store.settle(batch)
    assert await store.login("d1") is None
    assert await store.login("d2") == replace(login, at_ms=NOW_MS + 1)


async def test_tries_are_counted_by_window(store: DocumentStore) -> None:
    tries = await asyncio.gather(*(store.bump(NO_SITE, "eva", 7, 60_000) for _ in range(5)))
    assert sorted(tries) == [1, 2, 3, 4, 5]
    assert await store.bump(NO_SITE, "eva", 8, 60_000) == 1
    assert await store.bump(NO_SITE, "max", 7, 60_000) == 1
    assert await store.bump("lobby", "eva", 7, 60_000) == 1


async def test_events_come_newest_first_and_page_by_page(store: DocumentStore) -> None:
    batch = store.batch("lobby")
    events = [SiteEvent("failover", NOW_MS + number, "s1", number) for number in range(5)]
    for event in events:
        batch.happened(event)
    assert await store.settle(batch)
    page = await store.events("lobby", limit=2)
    assert page == Page([events[4], events[3]], Cursor(NOW_MS + 3, 1))
    page = await store.events("lobby", before=page.next, limit=9)
    assert page == Page([events[2], events[1], events[0]], None)
    assert (await store.site_view("lobby")).events == {"failover": 5}
    assert await store.events("hall", limit=2) == Page([], None)


async def test_a_drift_that_does_not_change_is_a_line_of_points(store: DocumentStore) -> None:
    point, batch = DriftPoint(0.0, 0.5, "lan", 1), store.batch("lobby")
    for at_ms in (NOW_MS + 2, NOW_MS, NOW_MS + 1, NOW_MS):
        batch.append(keys.DRIFT_LOG, at_ms, point, part="a")
    batch.append(keys.DRIFT_LOG, NOW_MS, replace(point, mean=1.0), part="b")
    assert await store.settle(batch)
    found = await store.drift("lobby", ["a", "b", "c"], from_ms=NOW_MS, to_ms=NOW_MS + 1, most=99)
    assert found == {
        "a": [(NOW_MS, point), (NOW_MS + 1, point)],
        "b": [(NOW_MS, replace(point, mean=1.0))],
        "c": [],
    }
    assert await store.drift("lobby", [], from_ms=0, to_ms=1, most=9) == {}


async def test_telemetry_delivered_twice_is_kept_once(store: DocumentStore) -> None:
    items = [TelemetryItem("q", seq, NOW_MS + seq, event="fault") for seq in range(4)]
    for item in (*items, *items[1:3]):
        batch = store.batch("lobby")
        batch.append(keys.TELEMETRY_LOG, item.at_ms, item, part="a")
        assert await store.settle(batch)
    span: dict[str, Any] = {"from_ms": NOW_MS + 1, "to_ms": NOW_MS + 9}
    assert (await store.telemetry("lobby", "a", **span, limit=2)).items == [items[3], items[2]]
    assert (await store.telemetry("lobby", "a", **span, limit=9)).items == items[:0:-1]
    assert (await store.telemetry("lobby", "b", **span, limit=9)).items == []


async def test_what_cannot_be_read_is_left_out_of_a_list(store: DocumentStore, raw: Store) -> None:
    assert await store.put_account("eva", EVA, None)
    await raw.write([SetFields("test:{-}:accounts", {"bad": b"{"})])
    accounts = await store.accounts()
    assert accounts["bad"] == Kept(None, b"{")
    assert await store.put_account("bad", None, b"{")
    batch = store.batch("lobby")
    batch.append(keys.HISTORY, NOW_MS, "s1")  # of which nothing is kept any more
    batch.append(keys.HISTORY, NOW_MS, 7)
    batch.append(keys.EVENT_LOG, NOW_MS, "?")
    assert await store.settle(batch)
    assert await store.history("lobby", 9) == []
    assert (await store.events("lobby", limit=9)).items == []
    with pytest.raises(ValueError, match="no log"):
        batch.append(keys.SITES, NOW_MS, "?")


async def test_days_sum_up(store: DocumentStore, raw: Store) -> None:
    day = keys.date_of(NOW_MS)
    for largest in (400, 900, 100):
        batch = store.batch("lobby")
        batch.add(keys.DAY, "a samples", 10, part=day)
        batch.raise_to(keys.DAY, "a max_us", largest, part=day)
        assert await store.settle(batch)
    assert await store.days("lobby", [day]) == {day: {"a samples": 30, "a max_us": 900}}
    (held,) = await raw.read([Fields(f"test:{{lobby}}:day:{day}")])
    assert held == {"a samples": b"30", "a max_us": b"900"}
    assert await store.days("lobby", []) == {}
