"""Entry point of the beacon process: build, restore, loop."""

import sys

from services.beacon.memory import Memory
from services.beacon.node import Node
from services.beacon.parts import Parts
from services.beacon.ways import Ways
from unisono.bus import Bus, topics
from unisono.bus.topics import Owner
from unisono.config import load_flags, load_settings
from unisono.runtime import SystemClock, run_daemon, set_log_level
from unisono.state import LocalState


async def serve() -> None:
    """Lead or follow until cancelled."""
    settings, flags = load_settings(), load_flags()
    set_log_level(settings.log_level)
    ways = Ways(settings)
    if flags.lan_enabled:
        ways.check()
    state = LocalState(settings.redis_url)
    bus = Bus(settings.bus_dir)
    parts = Parts(settings, flags, ways, Memory(state), SystemClock())
    try:
        node = Node(parts, bus.publisher(Owner.BEACON), bus.subscriber((topics.DESIRED,)))
        await node.run()
    finally:
        bus.close()
        await state.close()


def main() -> int:
    """Run the beacon process of this device."""
    return run_daemon("beacon", serve)


if __name__ == "__main__":
    sys.exit(main())
