"""What the cloud-bridge tells of its device: a lost beat at once, the rest until it is taken."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.cloud_bridge import bridge
from tests.support.bridge_link import FAST, SPEC, drift_of, linked
from tests.support.fake_cloud import KEY, Answer, FakeCloud, fake_cloud, http, ok
from tests.support.waiting import until
from unisono.config import Flags
from unisono.core.mode import Mode
from unisono.core.outbox import Outbox
from unisono.core.session import Desired, SessionSpec
from unisono.state import LocalState, MemoryStore

STATUS, HEARTBEAT = "/v1/sync/status/runtime", "/v1/device/heartbeat"
# So slow that nothing is said within a test by the interval alone.
SLOW = Flags(heartbeat_s=0.2, status_s=60, commands_s=60)
FOLLOWER = {"SYNC_LAN_ENABLED": "1", "SYNC_LAN_TIMEOUT_MS": "200", "SYNC_STATUS_S": "60"}


def saying(spec: SessionSpec | None = None, **hint: Any) -> Answer:
    """A cloud that agrees with the session, and says so much more."""
    session = {} if spec is None else {"session_id": spec.session_id, "term": spec.term}

    async def answer(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(ok({"server_time_ms": 1, "commands": [], "revision": 70} | session | hint))

    return answer


async def holding(spec: SessionSpec | None) -> MemoryStore:
    store = MemoryStore()
    await LocalState(store).put_desired(Desired(70, spec))
    return store


def items_of(body: dict[str, Any]) -> list[int]:
    """The numbers of the items that came along with a status."""
    telemetry = body.get("telemetry") or {"items": []}
    return [item["seq"] for item in telemetry["items"]]


async def test_a_follower_that_loses_the_beat_says_so_at_once_and_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge, "TELL_EVERY_NS", 0)
    spec = replace(SPEC, flags=FOLLOWER)
    store = await holding(spec)
    bearer = f"screen-2.lobby.a-secret-of-its-own.{KEY}"
    async with (
        fake_cloud(saying(spec)) as cloud,
        linked(cloud.url, bearer, store, flags=SLOW) as link,
    ):
        told = cloud.bodies[STATUS]
        link.bridge.hear(drift_of(mode=Mode.CLOUD))
        await until(lambda: told)
        # It has just been told of the term: it may not have had the time to hear anything.
        assert told[0]["beat_lost"] is False
        await until(lambda: told[-1]["beat_lost"], 3)  # nothing changed but the time
        assert told[-1]["mode"] == "cloud"
        link.bridge.hear(drift_of(mode=Mode.LAN))
        await until(lambda: told[-1]["mode"] == "lan", 3)
        assert told[-1]["beat_lost"] is False
        link.bridge.hear(drift_of(mode=Mode.HOLDOVER))
        await until(lambda: told[-1]["mode"] == "holdover", 3)
        assert told[-1]["beat_lost"] is True
        await until(lambda: cloud.bodies[HEARTBEAT][-1]["beat_lost"], 3)


async def test_a_mode_that_flaps_does_not_make_the_calls_flap() -> None:
    async with (
        fake_cloud(saying(SPEC)) as cloud,
        linked(cloud.url, store=await holding(SPEC), flags=SLOW) as link,
    ):
        await until(lambda: link.count("status 200") == 1)
        for _ in range(40):
            for mode in (Mode.LAN, Mode.HOLDOVER):
                link.bridge.hear(drift_of(mode=mode))
            await asyncio.sleep(0.01)
        assert link.count("status 200") <= 3


async def test_a_lost_beat_does_not_call_a_cloud_in_trouble_sooner() -> None:
    busy = http("503 Busy", b"", "Retry-After: 60")

    async def answer(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(busy)

    async with (
        fake_cloud(answer) as cloud,
        linked(cloud.url, store=await holding(SPEC)) as link,
    ):
        await until(lambda: link.count("status 503") == 1)
        link.bridge.hear(drift_of(mode=Mode.LAN))
        link.bridge.hear(drift_of(mode=Mode.HOLDOVER))
        await asyncio.sleep(0.3)
        assert cloud.calls[STATUS] == 1


async def test_what_is_told_comes_again_until_it_is_taken_over() -> None:
    async with (
        fake_cloud(saying(SPEC)) as cloud,
        linked(cloud.url, store=await holding(SPEC)) as link,
    ):
        told = cloud.bodies[STATUS]
        link.bridge.hear(drift_of(mode=Mode.CLOUD))
        link.bridge.hear(drift_of(mode=Mode.LAN))
        await until(lambda: told and items_of(told[-1]) == [1, 2])
        count = len(told)
        await until(lambda: len(told) > count + 1)
        telemetry = told[-1]["telemetry"]
        assert telemetry["queue"] == "queue-1"
        assert [item["event"] for item in telemetry["items"]] == ["role", "lan"]
        assert telemetry["items"][1]["detail"] == "cloud to lan"
        assert telemetry["items"][1]["session_id"] == SPEC.session_id
        cloud.answer = saying(SPEC, delivered_seq=1)
        await until(lambda: items_of(told[-1]) == [2])
        cloud.answer = saying(SPEC, delivered_seq=2)
        await until(lambda: items_of(told[-1]) == [])
        link.bridge.hear(drift_of(mode=Mode.HOLDOVER))
        await until(lambda: items_of(told[-1]) == [3])


async def test_after_an_outage_all_is_told_in_order_some_at_a_time() -> None:
    outbox = Outbox("queue-1", keep=60)
    taken: list[int] = []

    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        if path == STATUS and (came := items_of(clouds[0].bodies[STATUS][-1])):
            assert len(came) <= 50
            taken.extend(seq for seq in came if seq not in taken)
            writer.write(ok({"server_time_ms": 1, "delivered_seq": came[-1]}))
        else:
            writer.write(ok({"server_time_ms": 1, "commands": []}))

    clouds: list[FakeCloud] = []
    async with fake_cloud(always_busy) as cloud:
        clouds.append(cloud)
        async with linked(cloud.url, store=await holding(SPEC), outbox=outbox) as link:
            for number in range(100):
                link.bridge.hear(drift_of(fault=f"film {number} is missing"))
            await until(lambda: link.count("status 503"))
            cloud.answer = answer
            await until(lambda: len(outbox) == 0 and taken)
        texts = [
            item["event"]
            for body in cloud.bodies[STATUS]
            for item in (body.get("telemetry") or {"items": []})["items"]
            if item["seq"] in taken
        ]
    # 101 things happened (a role, a hundred faults); 60 were kept; then the loss itself is told.
    assert taken == [*range(42, 103)]
    assert texts[-1] == "telemetry_lost"


async def always_busy(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http("503 Busy"))


@pytest.mark.parametrize(("status", "is_dropped"), [("422 No", True), ("404 No", False)])
async def test_what_the_cloud_will_never_take_does_not_stand_in_the_way(
    status: str, is_dropped: bool
) -> None:
    outbox = Outbox("queue-1")

    async def answer(_method: str, _path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, b"{}"))

    async with (
        fake_cloud(answer) as cloud,
        linked(cloud.url, store=await holding(SPEC), outbox=outbox) as link,
    ):
        link.bridge.hear(drift_of())
        label = f"status {status[:3]}"
        await until(lambda: link.count(label) >= 2)
        await until(lambda: (outbox.lost > 0) is is_dropped)
        sent = [items_of(body) for body in cloud.bodies[STATUS][:2]]
        assert sent == ([[1], []] if is_dropped else [[1], [1]])


async def test_the_heartbeat_says_what_the_machine_knows_of_itself() -> None:
    async with fake_cloud(saying()) as cloud, linked(cloud.url):
        await until(lambda: cloud.bodies[HEARTBEAT])
        body = cloud.bodies[HEARTBEAT][0]
    assert body["wired"] is None  # it is on loopback
    assert body["clock_healthy"] in (True, False)
    assert body["clock_error_ms"] >= 0
    assert body["player_version"] == ""
    assert body["flags_version"] == 0
    assert body["beat_lost"] is False


async def test_the_sites_flags_hold_until_a_sessions_do() -> None:
    site_flags = {"SYNC_HEARTBEAT_S": "0.3", "SYNC_STATUS_S": "0.2"}
    # Without a session a status comes five times as rarely.
    hint: dict[str, Any] = {"flags_version": 3, "flags": site_flags, "revision": 0}
    async with fake_cloud(saying(None, **hint)) as cloud, linked(cloud.url, flags=FAST) as link:
        beats = cloud.bodies[HEARTBEAT]
        await until(lambda: len(beats) >= 2)
        assert [body["flags_version"] for body in beats[:2]] == [0, 3]
        assert [body["interval_s"] for body in beats[:2]] == [0.2, 0.3]
        unfit = {"SYNC_HEARTBEAT_S": "soon"}
        cloud.answer = saying(flags_version=4, flags=unfit)
        count = len(beats)
        await until(lambda: len(beats) > count + 1)
        assert (beats[-1]["flags_version"], beats[-1]["interval_s"]) == (3, 0.3)
        assert link.connected()
    spec = replace(SPEC, flags={"SYNC_HEARTBEAT_S": "0.4"}, flags_version=7)
    async with (
        fake_cloud(saying(spec, **hint)) as cloud,
        linked(cloud.url, store=await holding(spec)),
    ):
        beats = cloud.bodies[HEARTBEAT]
        await until(lambda: len(beats) >= 2)
        said = {(body["flags_version"], body["interval_s"]) for body in beats}
        assert said == {(7, 0.4)}
