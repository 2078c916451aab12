"""Single parts of the page, run in the browser as they are served."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.live_site import LiveSite
from tests.browser.page import Page, browser


@pytest.fixture(scope="module")
def page(shared_site: LiveSite) -> Iterator[Page]:
    """The dashboard before anybody has logged in."""
    with browser(shared_site.url) as page:
        page.open("/dashboard/")
        yield page


def test_points_are_merged_forgotten_and_scaled(page: Page) -> None:
    def answer(server_ms: int, **devices: Any) -> dict[str, Any]:
        return {"server_time_ms": server_ms, "devices": devices}

    first = answer(100_000, a=[[98_000, -1.0, 2.0, "cloud", 1], [99_000, 0.5, 0.6, "lan", 1]])
    second = answer(
        104_000, a=[[99_000, 0.5, 0.6, "lan", 1], [103_000, 0.1, 0.2, "lan", 2]],
        b=[[103_400, 0.3, 0.4, "lan", 2]],
    )  # fmt: skip
    later = answer(705_000, b=[[704_000, 0.2, 0.2, "lan", 2]])
    last = answer(720_000, b=[[720_000, 0.1, 0.1, "lan", 2]])
    drift = {"count": 4, "mean": -0.3, "max": 0.5}
    status = {"at_ms": 103_900, "drift_ms": drift, "mode": "lan", "term": 2}
    silent = {"at_ms": 103_900, "drift_ms": {"count": 0, "mean": None}, "mode": "lan", "term": 2}
    said = [{"device_id": "a", "status": status}, {"device_id": "b", "status": silent}]
    script = f"""(() => {{
        const points = new m.Points();
        const asked = [points.secondsToAsk(100000)];
        points.add({json.dumps(first)});
        asked.push(points.secondsToAsk(102000), points.secondsToAsk(20000));
        points.add({json.dumps(second)});
        const found = {{asked, mean: points.columns(["a", "b"], "mean"), terms: points.terms(),
          modes: points.modes("a")}};
        points.addStatuses({json.dumps({"server_time_ms": 104_000, "devices": said})});
        found.said = points.columns(["a", "b"], "mean");
        points.add({json.dumps(later)});
        points.add({json.dumps(last)});
        found.broken = points.columns(["b"], "mean");
        return {{...found, left: [...points.byDevice.keys()],
          spike: m.scaleOf([...Array(99).fill(1), 500], true), none: m.scaleOf([null], false)}};
    }})()"""
    found = page.module("/dashboard/points.js", script)
    assert found["asked"] == [600, 8, 1]  # a clock that was set back asks for no negative time
    assert found["mean"] == [[98, 99, 103], [-1.0, 0.5, 0.1], [None, None, 0.3]]
    assert found["said"] == [[98, 99, 103], [-1.0, 0.5, -0.3], [None, None, 0.3]]
    assert found["terms"] == [[103, 2]]
    assert found["modes"] == [[98, 98, "cloud"], [98, 103, "lan"]]
    assert found["broken"] == [[704, 705, 720], [0.2, None, 0.1]]  # no line over the silence
    assert found["left"] == ["b"]  # the other has been silent for ten minutes
    assert found["spike"] == {"low": -2, "high": 2, "beyond": 1, "largest": 500}
    assert found["none"]["beyond"] == 0


# Polls of a few ms; each returns how many times it was run, and what the page was told.
POLLS = """(async () => {
    const { onProblems } = await import("/dashboard/problems.js");
    const { ApiError, Away } = await import("/dashboard/api.js");
    const pause = (ms) => new Promise((done) => setTimeout(done, ms));
    let open = [];
    onProblems((now) => { open = now.map((one) => one.message); });
    const found = {};

    let runs = 0;
    const busy = m.every(10_000, async () => { runs += 1; await pause(5); return 40; });
    for (let i = 0; i < 20; i += 1) { busy.now(); await pause(10); }
    busy.stop();
    found.many = runs;
    runs = 0;
    const calm = m.every(10_000, async () => { runs += 1; return 100; });
    for (let i = 0; i < 20; i += 1) calm.now();
    await pause(50);
    found.together = runs;
    calm.stop();

    let gone = null;
    runs = 0;
    m.every(10, () => { runs += 1; throw new ApiError(404, "unknown_site", "no site"); },
      (error) => { gone = error.message; });
    await pause(100);
    Object.assign(found, { gone, gone_runs: runs, after_gone: [...open] });

    runs = 0;
    const away = m.every(10, () => { runs += 1; throw new Away(500, "internal", "it failed"); });
    await pause(100);
    away.now();
    await pause(100);
    Object.assign(found, { away_runs: runs, away_said: [...open] });
    away.stop();
    found.after_away = [...open];

    runs = 0;
    const other = m.every(10, () => { runs += 1; });
    await pause(60);
    const before = runs;
    const limit = new ApiError(429, "rate_limited", "too many", 5000);
    const limited = m.every(10, () => { throw limit; });
    await pause(30);
    const then = runs;
    other.now();
    await pause(200);
    Object.assign(found, { ran: before > 1, quiet: runs - then, limited: [...open] });
    other.stop();
    limited.stop();
    return found;
})()"""


def test_a_poll_has_one_timer_and_keeps_to_what_it_is_asked(page: Page) -> None:
    found = page.module("/dashboard/poll.js", POLLS)
    assert 2 <= found["many"] <= 45, found  # each call of now() moves the one timer
    assert found["together"] <= 3, found
    assert (found["gone"], found["gone_runs"], found["after_gone"]) == ("no site", 1, [])
    assert (found["away_runs"], found["after_away"]) == (1, [])
    assert found["away_said"] == ["it failed. Trying again…"]
    assert found["ran"], found
    assert (found["quiet"], found["limited"]) == (0, ["too many. Trying again…"])


def test_a_day_begins_at_nought_and_events_of_one_ms_are_told_apart(page: Page) -> None:
    def event(at_ms: int, detail: str) -> dict[str, Any]:
        return {"at_ms": at_ms, "detail": detail}

    known = [
        event(9, "d"),
        event(5, "c"),
        event(5, "b"),
        event(5, "b"),
        event(5, "a"),
        event(4, "z"),
    ]
    fresh = [event(11, "f"), event(9, "d"), event(5, "c"), event(5, "b")]
    later = [event(12, "h"), event(11, "g")]
    midnight = "new Date(2026, 0, 1, 0, 5, 12).getTime()"
    assert page.module("/dashboard/figure_words.js", f"m.clock({midnight})") == "00:05:12"
    said = page.module("/dashboard/figure_words.js", f"m.dateAndTime({midnight})")
    assert said.endswith("00:05:12")
    behind = f"m.behind({json.dumps(fresh)}, {json.dumps(known)})"
    left = [event(5, "b"), event(5, "a"), event(4, "z")]
    assert page.module("/dashboard/events.js", behind) == left
    apart = f"m.behind({json.dumps(later)}, {json.dumps(known)})"
    assert page.module("/dashboard/events.js", apart) is None
