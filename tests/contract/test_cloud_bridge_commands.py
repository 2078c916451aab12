"""What the cloud-bridge makes of commands: those of the control plane, and what others send."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.support.bridge_link import ENROLLED, SPEC, linked, term_of
from tests.support.fake_cloud import KEY, Answer, FakeCloud, fake_cloud, http, ok, signed
from tests.support.waiting import until
from unisono.core.commands import prepare
from unisono.core.session import Desired
from unisono.state import LocalState, MemoryStore

NOW_MS = 1_780_000_000_000


def command(key: str = KEY, device_id: str = "screen-1", **changes: Any) -> dict[str, Any]:
    """A PREPARE as JSON, spoilt as asked, then signed."""
    body: dict[str, Any] = msgspec.to_builtins(prepare(SPEC, 80, NOW_MS))
    return signed(body | changes, device_id, key)


def giving(commands: list[dict[str, Any]], server_time_ms: int = NOW_MS) -> Answer:
    """A cloud with these commands for whoever polls."""

    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        found = commands if path.endswith("/commands") else []
        writer.write(ok({"server_time_ms": server_time_ms, "commands": found}))

    return answer


def outcomes_of(cloud: FakeCloud) -> dict[str, str]:
    """What was acknowledged, by command id."""
    return {ack["path"].split("/")[-2]: ack["outcome"] for ack in cloud.acks}


async def test_commands_that_make_no_sense_are_acknowledged_as_failed() -> None:
    spoilt = [
        command(command_id="a", kind="SYNC_DANCE"),
        command(command_id="b", session={"session_id": 5}),
        command(command_id="c", session=None),
        command(command_id="d", session=command()["session"] | {"playlist": {"items": []}}),
        command(command_id="e", session=command()["session"] | {"members": []}),
        command(command_id="f/../g", seq="now"),
        signed({"seq": 3}, "screen-1"),
        command(command_id="good", seq=79),
        command(command_id="old", seq=60, session=command()["session"] | {"term": 1}),
        command(command_id="fell", seq=99, session=command()["session"] | {"term": 1}),
    ]

    store = MemoryStore()
    await LocalState(store).put_desired(Desired(70, None))
    async with fake_cloud(giving(spoilt)) as cloud, linked(cloud.url, store=store) as link:
        await until(lambda: len(cloud.acks) >= len(spoilt) - 1)
        outcomes = outcomes_of(cloud)
    expected = dict.fromkeys(("a", "b", "c", "d", "e", "f%2F..%2Fg", "fell"), "failed")
    assert outcomes == expected | {"good": "done", "old": "failed"}
    assert link.bridge.desired == Desired(79, SPEC)


async def test_a_repeated_command_is_carried_out_once_across_restarts() -> None:
    store = MemoryStore()

    async with fake_cloud(giving([command()])) as cloud:
        async with linked(cloud.url, store=store) as link:
            await until(lambda: len(cloud.acks) >= 2)
            assert link.bridge.stats().commands == {"SYNC_PREPARE done": 1}
        before = len(cloud.acks)
        async with linked(cloud.url, store=store) as link:
            await until(lambda: len(cloud.acks) > before)
            assert link.bridge.stats().commands == {}
            assert link.bridge.desired == Desired(80, SPEC)


def changed(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A signed command that somebody has changed on its way."""
    return body | changes


FORGED: dict[str, dict[str, Any]] = {
    "unsigned": {name: text for name, text in command().items() if name != "signature"},
    "of_another_key": command(key="07" * 32),
    "for_another_device": command(device_id="screen-2"),
    "another_seq": changed(command(), seq=90),
    "another_film": changed(
        command(), session=command()["session"] | {"start_at_ms": NOW_MS + 1_000}
    ),
    "a_field_more": changed(command(), replace=True),
    "a_field_less": {name: text for name, text in command().items() if name != "expires_ms"},
    "no_text": changed(command(), signature=7),
    "not_hexadecimal": changed(command(), signature="é" * 64),
    "nobody_at_all": {},
}


async def test_a_forged_command_is_counted_and_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    await LocalState(store).put_desired(Desired(70, SPEC))
    # Newer by its own word than the good one, which comes last and is obeyed all the same.
    forged = list(FORGED.values())
    good = command(command_id="good", seq=79)
    with caplog.at_level("WARNING"):
        async with (
            fake_cloud(giving([*forged, good])) as cloud,
            linked(cloud.url, store=store) as link,
        ):
            await until(lambda: cloud.acks)
            assert link.obeyed("? forged") >= len(forged)
            assert outcomes_of(cloud) == {"good": "done"}
            assert link.bridge.desired == Desired(79, SPEC)
    said = [line for line in caplog.messages if "not signed for this device" in line]
    # One line for the lot; again only when a good one has come in between.
    assert len(said) <= cloud.calls["/v1/device/commands"]
    assert ENROLLED not in caplog.text
    assert KEY not in caplog.text


async def test_a_flood_of_forged_commands_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        async with (
            fake_cloud(giving(list(FORGED.values()))) as cloud,
            linked(cloud.url) as link,
        ):
            await until(lambda: link.obeyed("? forged") >= 2 * len(FORGED))
            assert cloud.acks == []
            assert term_of(link) == 0
    assert sum("not signed for this device" in line for line in caplog.messages) == 1


async def test_a_command_that_has_expired_by_the_clouds_clock_is_refused() -> None:
    late = command(command_id="late", expires_ms=NOW_MS - 1)
    # A relay that holds the newest back and plays an old one again.
    async with fake_cloud(giving([late])) as cloud, linked(cloud.url) as link:
        await until(lambda: cloud.acks)
        assert outcomes_of(cloud) == {"late": "failed"}
        assert "expired" in cloud.acks[0]["detail"]
        assert term_of(link) == 0
        cloud.answer = giving([command(expires_ms=NOW_MS + 60_000)])
        await until(lambda: term_of(link) == 2)


async def test_a_cloud_that_does_not_tell_the_time_is_obeyed() -> None:
    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/commands"):
            writer.write(ok({"commands": [command(expires_ms=1)]}))
        else:
            writer.write(http("503 Busy"))

    async with fake_cloud(answer) as cloud, linked(cloud.url) as link:
        await until(lambda: term_of(link) == 2)


async def test_the_calls_go_to_the_paths_of_the_settings() -> None:
    paths = {
        "control_path_heartbeat": "/api/player/alive",
        "control_path_status": "/api/player/sync",
        "control_path_commands": "/api/player/orders",
    }
    commands = [command(command_id="a b")]

    async def answer(_method: str, path: str, writer: asyncio.StreamWriter) -> None:
        found = commands if path.endswith("/orders") else []
        writer.write(ok({"server_time_ms": NOW_MS, "commands": found}))

    async with fake_cloud(answer) as cloud, linked(cloud.url, settings=paths):
        await until(lambda: cloud.acks and all(cloud.calls[path] for path in paths.values()))
        assert set(cloud.calls) == {*paths.values(), "/api/player/orders/a%20b/ack"}
