"""One show, from an empty directory to silence: the order in which everything happens."""

import asyncio
import contextlib
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services.cli.api import ApiError, ApiRefusedError, ControlApi
from services.cli.demo import plan
from services.cli.demo.commands import device_specs, shared_specs, shown
from services.cli.demo.film import FILM_LINK, Film
from services.cli.demo.live import PERIOD_S, Screen
from services.cli.demo.options import Options
from services.cli.demo.plan import SITE, SitePlan
from services.cli.demo.processes import Supervisor
from services.cli.demo.report import make_report
from services.cli.demo.watch import Costs, Watch
from services.cli.enroll import write_private
from services.cli.lab.namespaces import Lab
from services.cli.lab.profiles import describe, find_profile
from unisono.core.playerstate import PlayerState
from unisono.runtime import UserError

ACCOUNT = "demo"  # who may log in at the dashboard
CONTROL_WAIT_S = 20.0  # a slow machine needs some seconds to import a web framework
READY_WAIT_S = 30.0  # then the show starts without those that are not there
START_DELAY_S = 4.0  # from asking for the session to its first frame: time to load and cue
STOP_WAIT_S = 3.0  # for the stop to reach the players before their processes end


class Show:
    """One run of the demo. `run` is the whole of it."""

    def __init__(self, asked: Options, run_dir: Path, film: Film, lab: Lab | None) -> None:
        self._asked = asked
        self._film = film
        self._uri = film.link_into(run_dir)
        with free_ports(plan.ports_needed(asked.devices, asked.port)) as ports:
            self._site = plan.plan_site(
                run_dir,
                asked.devices,
                lab=lab,
                free_ports=iter(ports),
                control_port=asked.port,
                flags=asked.flags,
            )
        self._admin_token = secrets.token_urlsafe(24)
        self._password = secrets.token_urlsafe(9)  # of an account that lives as long as the demo
        self._supervisor = Supervisor()
        self._costs = Costs(self._supervisor.kept)
        self._session_id = ""
        self._start_s = float("inf")
        self._status = "starting"

    async def run(self) -> dict[str, Any] | None:
        """Play until the time is over or a signal comes; the report, None without a session."""
        make_directories(self._site)
        stop = _stop_event()
        with ExitStack() as ending:
            ending.callback(_remove_private, self._site)
            async with ControlApi(self._site.control_url, self._admin_token) as api:
                watch = Watch(self._site.devices)
                try:
                    return await self._play_until(stop, api, watch)
                finally:
                    await self._end(api, watch)

    async def _play_until(
        self, stop: asyncio.Event, api: ControlApi, watch: Watch
    ) -> dict[str, Any] | None:
        with Screen(self._notes()) as screen:
            follow = asyncio.create_task(self._draw(screen, watch))
            play = asyncio.create_task(self._play(api, watch))
            halt = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({play, halt, follow}, return_when=asyncio.FIRST_COMPLETED)
                for ended in (play, follow):
                    if ended.done():
                        ended.result()  # says what went wrong
            finally:
                play.cancel()
                halt.cancel()
                follow.cancel()
                await asyncio.gather(play, halt, follow, return_exceptions=True)
            self._status = "stopping"
            screen.show(watch.tallies, now_s=time.monotonic(), status=self._status)
        now_s = time.monotonic()
        if now_s < self._start_s:
            return None
        return make_report(
            tallies=watch.tallies,
            usage=self._costs.read(),
            session_id=self._session_id,
            seconds=now_s - self._start_s,
            now_s=now_s,
        )

    async def _play(self, api: ControlApi, watch: Watch) -> None:
        """Start everything, then the session; returns when its time is over."""
        for spec in shared_specs(self._site, self._admin_token):
            self._supervisor.start(spec)
        self._status = "waiting for the control plane"
        try:
            await api.wait_ready(CONTROL_WAIT_S)
        except ApiError as error:
            log_path = self._site.control_dir / "control-plane.log"
            raise UserError(f"{error}; its log is {log_path}: {_last_line(log_path)}") from None
        await api.add_account(ACCOUNT, "admin", self._password)
        await self._enroll(api)
        self._status = "waiting for the players"
        for device in self._site.devices:
            for spec in device_specs(self._site, device, self._asked):
                self._supervisor.start(spec)
        await self._await_players(watch)
        await self._start_session(api, watch)
        await asyncio.sleep(self._start_s - time.monotonic())
        self._status = "playing"
        costs = asyncio.create_task(self._costs.follow())
        try:
            await asyncio.sleep(
                float("inf") if self._asked.seconds is None else self._asked.seconds
            )
        finally:
            costs.cancel()

    async def _enroll(self, api: ControlApi) -> None:
        tokens = await api.make_tokens(SITE, len(self._site.devices))
        for device, token in zip(self._site.devices, tokens, strict=True):
            identity = await api.enroll(token, device.device_id)
            write_private(device.secret_file, identity["secret"])

    async def _await_players(self, watch: Watch) -> None:
        """Wait until every corrector has its player; not for ever: the show can do without one."""
        await watch.until(
            lambda: all(
                tally.last and tally.last.player_state is not PlayerState.ABSENT
                for tally in watch.tallies
            ),
            READY_WAIT_S,
        )

    async def _start_session(self, api: ControlApi, watch: Watch) -> None:
        """Ask for the session until all devices have called in."""
        deadline_s = time.monotonic() + READY_WAIT_S
        while True:
            try:
                session = await api.start_session(
                    SITE,
                    [device.device_id for device in self._site.devices],
                    [(self._uri, self._film.duration_ms)],
                    start_delay_s=START_DELAY_S,
                    flags=plan.site_flags(self._site),
                )
                break
            except ApiRefusedError as error:
                if error.code != "device_silent" or time.monotonic() > deadline_s:
                    raise UserError(f"{error}; the logs are in {self._site.run_dir}") from None
            await asyncio.sleep(0.2)
        self._session_id = str(session["session_id"])
        self._start_s = time.monotonic() + float(session["start_at_ms"]) / 1000 - time.time()
        watch.expect(self._session_id, self._start_s)
        self._status = "cueing"

    async def _draw(self, screen: Screen, watch: Watch) -> None:
        while True:
            screen.show(watch.tallies, now_s=time.monotonic(), status=self._status)
            await asyncio.sleep(PERIOD_S)

    async def _end(self, api: ControlApi, watch: Watch) -> None:
        """Stop the session through the API, then every process; a second signal changes nothing."""
        if self._session_id:
            try:
                await asyncio.wait_for(api.stop_session(self._session_id), STOP_WAIT_S)
                playing = self._session_id
                await watch.until(
                    lambda: all(t.last and t.last.session_id != playing for t in watch.tallies),
                    STOP_WAIT_S,
                )
            except (ApiError, TimeoutError) as error:
                print(f"the session could not be stopped: {error or 'no answer'}", file=sys.stderr)
        await watch.close()
        await self._supervisor.stop(device.device_id for device in self._site.devices)
        await self._supervisor.stop()

    def _notes(self) -> list[str]:
        site = self._site
        first = site.devices[0]
        hidden = self._asked.wall is not None and not shown(self._asked)
        return [
            *(
                ["no display that can be reached: the wall's windows are not shown"]
                if hidden
                else []
            ),
            *([_network(self._asked.net)] if self._asked.net else []),
            f"film     {self._film.path or self._uri}",
            f"logs     {site.run_dir}/{first.device_id}/*.log",
            f"metrics  {first.metrics_url}",
            f"page     {site.control_url}/  log in as {ACCOUNT}, password {self._password}",
        ]


def _network(name: str) -> str:
    profile = find_profile(name)
    return f"network  {name}: {describe(profile.lan)}; the cloud {describe(profile.wan)} each way"


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def make_directories(site: SitePlan) -> None:
    """Directories of this run, without the sockets and logs of one before."""
    for path in (site.control_dir, *(device.run_dir for device in site.devices)):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)


def _remove_private(site: SitePlan) -> None:
    """Leave the logs, and nothing else that this run has made."""
    for directory in (site.control_dir, *(device.run_dir for device in site.devices)):
        for path in sorted(directory.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()  # only when nothing is left in it
            elif path.suffix != ".log":
                path.unlink(missing_ok=True)
    site.redis_socket.unlink(missing_ok=True)
    for link in site.run_dir.glob(f"{FILM_LINK}.*"):
        link.unlink()


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports free for TCP and UDP on loopback, held until the block ends."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            stream = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = stream.getsockname()[1]
            datagrams = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                datagrams.bind(("127.0.0.1", port))
                ports.append(port)
        yield ports


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it is empty"
