"""What the page works out itself: days before and after the LAN, the points of the chart."""

import asyncio
import json
import time
from typing import Any

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
        batch.add(keys.DAY, "calls 10", by=calls, part=keys.date_of(now_ms - back * DAY_MS))
    for version, on, back in ((1, "0", CHANGED + 1), (2, "1", CHANGED), (3, "1", 1)):
        detail = {"version": version, "values": {"SYNC_LAN_ENABLED": on}, "why": "the LAN"}
        at_ms = now_ms - back * DAY_MS
        event = SiteEvent("flags_changed", at_ms, who=NAME, detail=json.dumps(detail))
        batch.append(keys.EVENT_LOG, at_ms, event)
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
        assert page.text("#tiles .tile:last-child dd") == f"{CALLS[-1]}"


def test_points_are_merged_forgotten_and_scaled(site: LiveSite) -> None:
    def answer(server_ms: int, **devices: Any) -> dict[str, Any]:
        return {"server_time_ms": server_ms, "devices": devices}

    first = answer(100_000, a=[[98_000, -1.0, 2.0, "cloud", 1], [99_000, 0.5, 0.6, "lan", 1]])
    second = answer(
        104_000, a=[[99_000, 0.5, 0.6, "lan", 1], [103_000, 0.1, 0.2, "lan", 2]],
        b=[[103_400, 0.3, 0.4, "lan", 2]],
    )  # fmt: skip
    later = answer(705_000, b=[[704_000, 0.2, 0.2, "lan", 2]])
    last = answer(720_000, b=[[720_000, 0.1, 0.1, "lan", 2]])
    script = f"""(() => {{
        const points = new m.Points();
        const asked = [points.secondsToAsk(100000)];
        points.add({json.dumps(first)});
        asked.push(points.secondsToAsk(102000));
        points.add({json.dumps(second)});
        const found = {{asked, mean: points.columns(["a", "b"], "mean"), terms: points.terms(),
          modes: points.modes("a")}};
        points.add({json.dumps(later)});
        points.add({json.dumps(last)});
        found.broken = points.columns(["b"], "mean");
        return {{...found, left: [...points.byDevice.keys()],
          spike: m.scaleOf([...Array(99).fill(1), 500], true), none: m.scaleOf([null], false)}};
    }})()"""
    with browser(site.url) as page:
        page.open("/dashboard/")
        page.driver.set_script_timeout(10)
        found = page.module("/dashboard/points.js", script)
    assert found["asked"] == [600, 8]
    assert found["mean"] == [[98, 99, 103], [-1.0, 0.5, 0.1], [None, None, 0.3]]
    assert found["terms"] == [[103, 2]]
    assert found["modes"] == [[98, 98, "cloud"], [98, 103, "lan"]]
    assert found["broken"] == [[704, 705, 720], [0.2, None, 0.1]]  # no line over the silence
    assert found["left"] == ["b"]  # the other has been silent for ten minutes
    assert found["spike"] == {"low": -2, "high": 2, "beyond": 1, "largest": 500}
    assert found["none"]["beyond"] == 0
