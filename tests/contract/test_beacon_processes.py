"""The beacon process itself, two and three of them over loopback."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.beacon_process import (
    BeaconDevice,
    beacon_devices,
    free_port,
    make_member,
    make_spec,
    with_leader,
)
from tests.support.redis_server import RedisServer
from unisono.bus.topics import Timing
from unisono.core.session import Role, SessionSpec
from unisono.core.timeline import wrap_error_ns
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs
from unisono.lan.paths import Endpoint
from unisono.lan.tcp import TcpPublisher
from unisono.state import LocalState
from unisono.wire import Beacon, BeaconState, derive_key, encode_beacon, playlist_fingerprint


@pytest.fixture
def redis_of(redis_server: RedisServer) -> Callable[[int], str]:
    """A clean database for each device."""
    redis_server.flush()
    return redis_server.url_of


def synchronised(timing: Timing) -> bool:
    """A follower with a clock that is good to 5 ms and a timeline."""
    clock_map = timing.clock_map
    good = clock_map is not None and clock_map.bound_ns < 5 * NS_PER_MS
    return good and timing.timeline is not None and timing.stable_since_own_ns is not None


def phase_at(timing: Timing, own_ns: int) -> int:
    """The phase due at an instant; every process here has the same monotonic clock."""
    assert timing.clock_map is not None
    assert timing.timeline is not None
    return timing.timeline.phase_ns(timing.clock_map.to_master(OwnNs(own_ns)))


def assert_agree(one: Timing, other: Timing, limit_ns: int = 10 * NS_PER_MS) -> None:
    """Both say the same phase of the same instant."""
    now_ns = time.monotonic_ns()
    apart_ns = wrap_error_ns(phase_at(one, now_ns) - phase_at(other, now_ns), 30 * NS_PER_S)
    assert abs(apart_ns) <= limit_ns


def ask_all(devices: list[BeaconDevice], spec: SessionSpec | None) -> None:
    for device in devices:
        device.ask(spec)


def started_ago(seconds: float) -> int:
    return time.time_ns() // NS_PER_MS - round(seconds * 1000)


async def test_followers_learn_the_masters_timeline_in_any_order_of_starting(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b", "dev-c")]
    spec = make_spec(members, started_ago(-3))
    async with beacon_devices(short_dir, members, redis_of) as devices:
        ask_all(devices, spec)
        master, *followers = devices
        for device in (*followers, master):
            await device.start()
        leading = await master.until(lambda t: t.role is Role.MASTER and t.timeline is not None)
        for follower in followers:
            timing = await follower.until(synchronised)
            assert timing.role is Role.FOLLOWER
            assert timing.path == "tcp"
            assert_agree(timing, leading)
        begun = await master.until(lambda t: phase_at(t, time.monotonic_ns()) >= 0)
        told = await followers[0].until(lambda t: phase_at(t, time.monotonic_ns()) >= 0)
        assert_agree(told, begun)
        # The start is where the cloud asked for it, on the wall clock.
        wall_ns, own_ns = time.time_ns(), time.monotonic_ns()
        due_ns = wall_ns - spec.start_at_ms * NS_PER_MS
        assert abs(phase_at(begun, own_ns) - due_ns) < 10 * NS_PER_MS
        ask_all(devices, None)
        idle = await followers[0].until(lambda t: t.role is Role.IDLE)
        assert idle.timeline is None
        assert await followers[1].stop() == 0


@pytest.mark.parametrize("who", [0, 1], ids=["master", "follower"])
async def test_a_process_that_was_stopped_for_seconds_goes_on(
    short_dir: Path, redis_of: Callable[[int], str], who: int
) -> None:
    """A box that freezes (a slow disk, a paused machine) keeps its process and finds the beat."""
    members = [make_member(name) for name in ("dev-a", "dev-b")]
    async with beacon_devices(short_dir, members, redis_of) as devices:
        ask_all(devices, make_spec(members, started_ago(10)))
        for device in devices:
            await device.start()
        await devices[1].until(synchronised)
        process = devices[who].process
        assert process is not None
        for stopped_s in (1.2, 2.5):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(stopped_s)
            process.send_signal(signal.SIGCONT)
            since_ns = time.monotonic_ns()
            await devices[1].until(
                lambda t, since_ns=since_ns: (  # type: ignore[misc]
                    synchronised(t) and t.stable_since_own_ns > since_ns - NS_PER_S
                )
            )
        assert process.returncode is None


async def test_a_new_term_swaps_roles_and_continues_the_timeline(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b", "dev-c")]
    spec = make_spec(members, started_ago(10))
    async with beacon_devices(short_dir, members, redis_of) as devices:
        old, new, third = devices
        ask_all(devices, spec)
        for device in devices:
            await device.start()
        before = await new.until(synchronised)
        await third.until(synchronised)
        later = with_leader(replace(spec, start_at_ms=spec.start_at_ms + 5_000), "dev-b")
        for device in (old, new):
            device.ask(later)
        leading = await new.until(lambda t: t.role is Role.MASTER and t.beacon_own_ns is not None)
        assert_agree(leading, before)
        # The old master follows, and the third device, whom nobody told, takes the new term too.
        for device in (old, third):
            timing = await device.until(lambda t: t.term == 2 and synchronised(t))
            assert timing.role is Role.FOLLOWER
            assert_agree(timing, before)
        third.ask(spec)  # an old word of the cloud's does not lead back
        await third.until(lambda t: t.term == 2 and synchronised(t))


async def test_a_master_killed_and_started_again_goes_on_with_higher_numbers(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b")]
    spec = make_spec(members, started_ago(10))
    async with beacon_devices(short_dir, members, redis_of) as (master, follower):
        ask_all([master, follower], spec)
        await master.start()
        await follower.start()
        before = await follower.until(synchronised)
        await master.kill()
        silent = await follower.until(lambda t: t.stable_since_own_ns is None)
        assert silent.clock_map is not None
        assert silent.timeline == before.timeline
        # Started 5 s earlier: as its wall clock sees it after a step. No screen may move.
        master.ask(replace(spec, start_at_ms=spec.start_at_ms - 5_000))
        await master.start()
        again = await follower.until(synchronised)
        assert_agree(again, before)
        assert follower.link is not None
        assert "late" not in follower.link.refused


async def test_beacons_and_probes_of_another_key_are_refused_and_counted(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b")]
    spec = make_spec(members, started_ago(10))
    async with beacon_devices(short_dir, members, redis_of) as (master, follower):
        master.ask(replace(spec, secret_hex="77" * 32))
        follower.ask(spec)
        await master.start()
        await follower.start()

        def refused() -> bool:
            return follower.link is not None and follower.link.refused.get("unknown_key", 0) > 3

        await follower.until(lambda _: refused())
        assert follower.timing is not None
        assert follower.timing.clock_map is None
        assert follower.link is not None
        assert follower.link.received == 0
        assert "refused" in follower.log()


async def test_beacons_that_contradict_the_session_are_refused(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b")]
    spec = make_spec(members, started_ago(10), term=3)
    publisher = TcpPublisher(lambda: Endpoint("127.0.0.1", members[0].beacon_port))
    beacon = Beacon(
        session_id=spec.session_id,
        term=3,
        master_device_id="dev-a",
        clock_id=b"clock-id",
        seq=1,
        sent_ns=0,  # type: ignore[arg-type]
        phase_ns=0,
        speed=1.0,
        state=BeaconState.PLAYING,
        playlist=playlist_fingerprint(spec.playlist),
    )

    def key(term: int) -> bytes:
        return derive_key(bytes.fromhex(spec.secret_hex), spec.session_id, term)

    bad = {
        "old_term": encode_beacon(replace(beacon, term=2), key(2)),
        "foreign_session": encode_beacon(replace(beacon, session_id="other"), key(3)),
        "wrong_master": encode_beacon(replace(beacon, master_device_id="dev-x"), key(3)),
        "wrong_playlist": encode_beacon(replace(beacon, playlist=b"another!"), key(3)),
        "signature": encode_beacon(beacon, key(3))[:-1] + b"?",
        "malformed": b"\x00garbage",
        "size": b"",
    }
    async with beacon_devices(short_dir, members, redis_of) as (_, follower):
        follower.ask(spec)
        await follower.start()
        await publisher.open()
        try:
            frames = itertools.cycle(bad.values())

            def refused() -> bool:
                publisher.send(next(frames))  # one at a time: of a burst only the newest arrives
                return follower.link is not None and set(bad) <= set(follower.link.refused)

            await follower.until(lambda _: refused())
        finally:
            await publisher.close()
        assert follower.link is not None
        assert follower.link.received == 0


async def test_lan_switched_off_means_no_socket_on_the_lan(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member("dev-a")]
    off = {"SYNC_LAN_ENABLED": "0"}
    async with beacon_devices(short_dir, members, redis_of, off) as (device,):
        device.ask(make_spec(members, started_ago(10)))
        await device.start()
        timing = await device.until(lambda t: t.session_id != "")
        assert timing.role is Role.MASTER
        assert timing.clock_map is None
        assert timing.timeline is None
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", members[0].beacon_port)
        # The site may switch it on without a restart.
        on = replace(make_spec(members, started_ago(10)), flags={"SYNC_LAN_ENABLED": "1"})
        device.ask(on)
        await device.until(lambda t: t.beacon_own_ns is not None)


async def test_a_port_in_use_is_one_sentence(
    short_dir: Path, redis_of: Callable[[int], str]
) -> None:
    members = [make_member("dev-a")]
    squatter = TcpPublisher(lambda: Endpoint("127.0.0.1", members[0].beacon_port))
    await squatter.open()
    try:
        async with beacon_devices(short_dir, members, redis_of) as (device,):
            device.ask(make_spec(members, started_ago(10)))
            await device.start()
            assert device.process is not None
            assert await asyncio.wait_for(device.process.wait(), 15) == 2
            log = device.log()
            assert f"TCP port {members[0].beacon_port} is in use" in log
            assert "Traceback" not in log
    finally:
        await squatter.close()


async def test_the_show_goes_on_without_local_state(short_dir: Path) -> None:
    members = [make_member(name) for name in ("dev-a", "dev-b")]
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    async with beacon_devices(short_dir, members, lambda _: nowhere) as (master, follower):
        ask_all([master, follower], make_spec(members, started_ago(10)))
        await master.start()
        await follower.start()
        assert_agree(await follower.until(synchronised), await master.until(lambda t: True))
        assert "going on from memory" in master.log()


async def test_local_state_that_comes_back_is_told_soon_what_it_missed(
    short_dir: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    members = [make_member("dev-a")]
    spec = make_spec(members, started_ago(10))
    socket = short_dir / "redis.sock"
    async with beacon_devices(short_dir, members, lambda _: f"unix://{socket}?db=0") as (master,):
        master.ask(spec)
        await master.start()
        await master.until(lambda t: t.beacon_own_ns is not None)
        assert "going on from memory" in master.log()
        socket.symlink_to(redis_server.socket)
        state = LocalState(redis_server.url)
        try:
            async with asyncio.timeout(8):
                while (  # noqa: ASYNC110  (another process brings it about)
                    await state.seq_ceiling("session-1", 1) == 0
                    or await state.timeline_origin("session-1") is None
                ):
                    await asyncio.sleep(0.05)
        finally:
            await state.close()
