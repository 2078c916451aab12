"""Entry point of the cloud-bridge: build, restore, loop."""

import asyncio
import sys

from services.cloud_bridge.bridge import Bridge
from services.cloud_bridge.client import CloudClient
from unisono.bus import Bus, topics
from unisono.bus.topics import DriftSample, LinkStats, Owner
from unisono.config import load_flags, load_settings
from unisono.runtime import SystemClock, repeat, run_daemon, set_log_level
from unisono.runtime.boot import boot_id
from unisono.state import LocalState

BEAT_S = 1.0
# What is heard goes to the cloud every few seconds: reading it in batches halves our CPU.
READ_EVERY_S = 1.0


async def serve() -> None:
    """Link this device to the cloud until cancelled; the show goes on without us."""
    settings, flags = load_settings(), load_flags()
    set_log_level(settings.log_level)
    secret = settings.secret()
    state = LocalState(settings.redis_url)
    client = CloudClient(settings.control_url, settings.device_id, secret)
    bus = Bus(settings.bus_dir)
    publisher = bus.publisher(Owner.CLOUD_BRIDGE)
    subscriber = bus.subscriber((topics.DRIFT, topics.LINK), every_s=READ_EVERY_S)
    clock = SystemClock()
    bridge = Bridge(
        settings,
        flags,
        client=client,
        state=state,
        publisher=publisher,
        clock=clock,
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


def main() -> int:
    """Run the cloud-bridge of this device."""
    return run_daemon("cloud-bridge", serve)


if __name__ == "__main__":
    sys.exit(main())
