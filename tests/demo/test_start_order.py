"""Whatever comes up first or last on a site, the show runs."""

import asyncio
import itertools
import logging
import random
import secrets
import time
from pathlib import Path

from services.cli.api import ApiRefusedError, ControlApi
from services.cli.demo import plan
from services.cli.demo.commands import device_specs, shared_specs
from services.cli.demo.options import Options
from services.cli.demo.processes import Supervisor
from services.cli.demo.watch import Watch
from services.cli.enroll import write_private
from tests.support.beacon_process import free_port
from unisono.core.mode import Mode

OPERATOR_TOKEN = secrets.token_urlsafe(24)
ASKED = Options(devices=2, player="sim")
LIMIT_S = 40.0


async def test_processes_started_in_any_order_and_long_before_the_cloud(short_dir: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    logging.getLogger(__name__).warning("order of starting: seed %d", seed)  # shown on failure
    film = short_dir / "film.mp4"
    film.write_bytes(b"the simulated player asks for a file, and for no more")
    ports = [free_port() for _ in range(plan.ports_needed(2, 0))]
    site = plan.plan_site(short_dir, 2, lab=None, free_ports=iter(ports))
    for path in (site.control_dir, *(device.run_dir for device in site.devices)):
        path.mkdir()
    supervisor = Supervisor()
    watch = Watch(site.devices)
    async with ControlApi(site.control_url, OPERATOR_TOKEN) as api:
        try:
            await enrol(site, supervisor, api)
            await supervisor.stop()  # the cloud and Redis are gone when the devices come up
            specs = [s for device in site.devices for s in device_specs(site, device, ASKED)]
            random.Random(seed).shuffle(specs)
            for spec in specs:
                supervisor.start(spec)
                await asyncio.sleep(0.1)
            for spec in shared_specs(site, OPERATOR_TOKEN):
                supervisor.start(spec)
            await api.wait_ready(LIMIT_S)
            session = await start_session(api, film)
            assert await watch.until(
                lambda: all(
                    tally.last is not None
                    and tally.last.session_id == session["session_id"]
                    and tally.last.mode is Mode.LAN
                    and tally.last.drift_ns is not None
                    and abs(tally.last.drift_ns) < 50_000_000
                    for tally in watch.tallies
                ),
                LIMIT_S,
            )
        finally:
            await watch.close()
            await supervisor.stop()


async def enrol(site: plan.SitePlan, supervisor: Supervisor, api: ControlApi) -> None:
    """Give the devices their secrets, as an installer would, before the day of the show."""
    for spec in shared_specs(site, OPERATOR_TOKEN):
        supervisor.start(spec)
    await api.wait_ready(LIMIT_S)
    tokens = await api.make_tokens(plan.SITE, len(site.devices))
    for device, token in zip(site.devices, tokens, strict=True):
        identity = await api.enroll(token, device.device_id)
        write_private(device.secret_file, identity["secret"])


async def start_session(api: ControlApi, film: Path) -> dict[str, object]:
    """Ask until the devices have called in; each asks again by itself, with a back-off."""
    deadline_s = time.monotonic() + LIMIT_S
    for _ in itertools.count():
        try:
            return await api.start_session(
                plan.SITE,
                ["screen-1", "screen-2"],
                [(str(film), 60_000)],
                start_delay_s=3.0,
                flags={"SYNC_LAN_ENABLED": "1"},
            )
        except ApiRefusedError:
            if time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(0.2)
    raise AssertionError("counting never ends")
