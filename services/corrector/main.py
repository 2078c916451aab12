"""Entry point of the corrector: build, restore, loop."""

import asyncio
import contextlib
import logging
import sys

from services.corrector.corrector import STEP_S, Corrector
from services.corrector.helm import Helm
from unisono.bus import Bus, topics
from unisono.bus.topics import Owner
from unisono.config import load_flags, load_settings
from unisono.core.session import Desired
from unisono.player.mpv import MpvPlayer
from unisono.runtime import SystemClock, repeat, run_daemon, set_log_level
from unisono.state import LocalState, StateError

log = logging.getLogger(__name__)


async def serve() -> None:
    """Steer the player until cancelled; its picture goes on without us."""
    settings, flags = load_settings(), load_flags()
    set_log_level(settings.log_level)
    clock = SystemClock()
    player = MpvPlayer(settings.player_socket_path)
    helm = Helm(player, clock)
    corrector = Corrector(settings, flags, helm, clock)
    bus = Bus(settings.bus_dir)
    state = LocalState(settings.redis_url)
    with contextlib.suppress(StateError):  # memory and the bus will do
        desired = await state.desired()
        if desired is not None:
            corrector.hear_desired(desired)
    publisher = bus.publisher(Owner.CORRECTOR)
    subscriber = bus.subscriber((topics.DESIRED, topics.TIMING))

    async def listen() -> None:
        async for _, message in subscriber:
            if isinstance(message, Desired):
                corrector.hear_desired(message)
            elif isinstance(message, topics.Timing):
                corrector.hear_timing(message)

    async def step() -> None:
        publisher.publish(topics.DRIFT, await corrector.step())

    log.info("waiting for the player at %s", settings.player_socket_path)
    await player.open()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(helm.watch())
            tasks.create_task(listen())
            tasks.create_task(repeat(STEP_S, step))
    finally:
        await helm.drop_job()
        await player.close()
        bus.close()
        await state.close()


def main() -> int:
    """Run the corrector of this device."""
    return run_daemon("corrector", serve)


if __name__ == "__main__":
    sys.exit(main())
