"""What the page works out itself: the days before and after the LAN."""

import asyncio
import json
import time

from tests.browser.live_site import NAME, PASSWORD, LiveSite
from tests.browser.page import browser
from unisono.core.site_document import SiteEvent
from unisono.state import DocumentStore, RedisStore, keys
from unisono.state.keys import DAY_MS

SITE = "lobby"
# Calls on each of the last days, oldest first; the LAN was switched on at the third of them.
CALLS = (1000, 1200, 700, 300, 260)
CHANGED = 3  # days ago


async def fill(redis_url: str, now_ms: int) -> None:
    """Let the site have those days behind it."""
    store = DocumentStore(RedisStore(redis_url))
    batch = store.batch(SITE)
    for back, calls in zip(range(len(CALLS), 0, -1), CALLS, strict=True):
        date = keys.date_of(now_ms - back * DAY_MS)
        batch.add(keys.DAY, "calls 10", by=calls, part=date)
        batch.add(keys.DAY, "looks 10", by=5000, part=date)  # people looked on: it is no traffic
    for version, on, back in ((1, "0", CHANGED + 1), (2, "1", CHANGED), (3, "1", 1)):
        detail = {"version": version, "values": {"SYNC_LAN_ENABLED": on}, "why": "the LAN"}
        at_ms = now_ms - back * DAY_MS
        batch.happened(SiteEvent("flags_changed", at_ms, who=NAME, detail=json.dumps(detail)))
    try:
        assert await store.settle(batch)
    finally:
        await store.close()


def test_invocations_before_and_after_the_lan(site: LiveSite) -> None:
    site.call("POST", f"/v1/sites/{SITE}/enroll-tokens", count=1)
    asyncio.run(fill(f"unix://{site.plan.redis_socket}?db=0", time.time_ns() // 1_000_000))
    with browser(site.url) as page:
        page.open()
        page.log_in(NAME, PASSWORD)
        page.open_site(SITE)
        wanted = ["1,100", "280", "-75 %"]
        page.until(lambda: page.texts("#compare strong")[1:] == wanted, "the comparison")
        assert page.texts("#days-chart .mark-text") != []
        bars = page.driver.execute_script(
            "return [...document.querySelectorAll('#days-chart rect')].map((r) => r.textContent)"
        )
        assert [int(bar.rpartition(": ")[2].replace(",", "")) for bar in bars[-6:-1]] == list(CALLS)
        yesterday = page.texts("#tiles .tile:last-child dd")
        assert yesterday == [f"{CALLS[-1] + 5000:,}", f"{CALLS[-1]} by devices"]
