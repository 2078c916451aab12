"""Entry point of the cloud-bridge: build, restore, loop."""

import asyncio
import secrets
import sys

from services.cloud_bridge.bridge import Bridge
from services.cloud_bridge.client import CloudClient, paths_of
from services.cloud_bridge.identity import Identity
from unisono.bus import Bus, topics
from unisono.bus.topics import DriftSample, LinkStats, Owner
from unisono.config import ConfigError, Settings, load_flags, load_settings
from unisono.core.outbox import Outbox
from unisono.runtime import SystemClock, repeat, run_daemon, set_log_level
from unisono.runtime.boot import boot_id
from unisono.state import LocalState

BEAT_S = 1.0
# Enough that no two lives of this process ever have the same queue.
QUEUE_BYTES = 8
# Most of what is heard goes to the cloud every few seconds, and reading it in batches spares CPU:
# 0.32 % of a core at 1 s, 0.44 % so, 0.60 % at each message. But a lost beat is told at once.
READ_EVERY_S = 0.25


async def serve() -> None:
    """Link this device to the cloud until cancelled; the show goes on without us."""
    settings, flags = load_settings(), load_flags()
    set_log_level(settings.log_level)
    identity = _identity(settings)
    state = LocalState(settings.redis_url)
    client = CloudClient(settings.control_url, identity, paths=paths_of(settings))
    bus = Bus(settings.bus_dir)
    publisher = bus.publisher(Owner.CLOUD_BRIDGE)
    subscriber = bus.subscriber((topics.DRIFT, topics.LINK), every_s=READ_EVERY_S)
    clock = SystemClock()
    bridge = Bridge(
        settings,
        flags,
        identity=identity,
        client=client,
        state=state,
        publisher=publisher,
        clock=clock,
        outbox=Outbox(secrets.token_hex(QUEUE_BYTES)),
        boot_id=boot_id(),
    )

    async def listen() -> None:
        async for _, message in subscriber:
            if isinstance(message, DriftSample):
                bridge.hear(message)
            elif isinstance(message, LinkStats):
                bridge.hear_link(message)

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bridge.run())
            tasks.create_task(listen())
            tasks.create_task(repeat(BEAT_S, bridge.beat))
    finally:
        await client.close()
        await state.close()
        bus.close()


def _identity(settings: Settings) -> Identity:
    try:
        return Identity(settings.device_id, settings.secret())
    except ValueError as error:
        raise ConfigError(
            f"UNISONO_DEVICE_SECRET is not whole as enrolment gave it ({error}): enrol anew"
        ) from None


def main() -> int:
    """Run the cloud-bridge of this device."""
    return run_daemon("cloud-bridge", serve)


if __name__ == "__main__":
    sys.exit(main())
