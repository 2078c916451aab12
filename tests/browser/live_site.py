"""A whole site for the browser tests: what `unisono demo` runs, but nobody brings the dead back."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from services.cli.demo.commands import device_specs, shared_specs
from services.cli.demo.options import Options
from services.cli.demo.plan import CONTROL, SITE, SitePlan, plan_site, ports_needed
from services.cli.demo.processes import ProcessSpec
from services.cli.demo.show import free_ports, make_directories
from services.cli.enroll import write_private
from tests.support.waiting import until_sync

ADMIN_TOKEN = "admins-only-0123456789"
NAME, PASSWORD = "ana", "correct horse battery"
# Devices call often, so that what happens is seen soon; but the master's lease (three heartbeats)
# is long enough for a machine that has much else to do.
FLAGS = {"SYNC_HEARTBEAT_S": "2", "SYNC_STATUS_S": "0.5", "SYNC_COMMANDS_S": "0.5"}
UNUSED = {"exporter"}


class LiveSite:
    """A control plane over real Redis, and devices with simulated players, on loopback."""

    def __init__(self, run_dir: Path, devices: int) -> None:
        with free_ports(ports_needed(devices, 0)) as ports:
            self.plan: SitePlan = plan_site(
                run_dir, devices, lab=None, free_ports=iter(ports), flags=FLAGS
            )
        make_directories(self.plan)
        self.url = self.plan.control_url
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self._shared = {spec.name: spec for spec in shared_specs(self.plan, ADMIN_TOKEN)}
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            trust_env=False,
        )

    def start(self) -> None:
        """Everything up to devices that have called in, and an administrator's account."""
        for spec in self._shared.values():
            self._start(spec)
        until_sync(self._healthy, 20)
        self.call("POST", "/v1/accounts", name=NAME, password=PASSWORD, role="admin")
        tokens = self.call("POST", f"/v1/sites/{SITE}/enroll-tokens", count=len(self.devices))
        for device, token in zip(self.plan.devices, tokens["tokens"], strict=True):
            asked = {"token": token, "device_id": device.device_id}
            write_private(
                device.secret_file, self.call("POST", "/v1/device/enroll", **asked)["secret"]
            )
        values = {"SYNC_LAN_ENABLED": "1", **FLAGS}
        self.call("PATCH", f"/v1/sites/{SITE}/flags", values=values, why="timing from the LAN")
        for device_id in self.devices:
            self.start_device(device_id)
        self._until(lambda: len(self.online()) == len(self.devices), 30)

    @property
    def devices(self) -> list[str]:
        """Ids of all devices."""
        return [device.device_id for device in self.plan.devices]

    def online(self) -> list[str]:
        """Ids of the devices that the control plane hears."""
        site = self.call("GET", f"/v1/sites/{SITE}")
        return [device["device_id"] for device in site["devices"] if device["online"]]

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions that run."""
        found: list[dict[str, Any]] = self.call("GET", f"/v1/sites/{SITE}")["sessions"]
        return found

    def stop_sessions(self) -> None:
        """Stop what plays, and wait until it is over."""
        for session in self.sessions():
            self.call("POST", f"/v1/sessions/{session['session_id']}/stop")
        self._until(lambda: not self.sessions(), 15)

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """A successful call of an administrator."""
        reply = self._http.request(method, path, json=body or None)
        assert reply.is_success, f"{path}: {reply.text}"
        found: dict[str, Any] = reply.json()
        return found

    def start_device(self, device_id: str) -> None:
        """Start what of a device does not run."""
        device = next(d for d in self.plan.devices if d.device_id == device_id)
        for spec in device_specs(self.plan, device, Options(player="sim")):
            if spec.name not in UNUSED:
                self._start(spec)

    def kill_device(self, device_id: str) -> None:
        """SIGKILL to each process of a device, as when its power fails."""
        self._kill(key for key in self._running if key[0] == device_id)

    def kill_control_plane(self) -> None:
        """SIGKILL to the control plane; Redis stays."""
        self._kill([(CONTROL, "control-plane")])

    def start_control_plane(self) -> None:
        """Bring it back on its port."""
        self._start(self._shared["control-plane"])
        until_sync(self._healthy, 20)

    def mend(self) -> None:
        """Nothing plays, and who was killed is back."""
        for device_id in self.devices:
            self.start_device(device_id)
        self.stop_sessions()
        self._until(lambda: len(self.online()) == len(self.devices), 30)

    def close(self) -> None:
        """End all processes."""
        self._http.close()
        for process in self._running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def _start(self, spec: ProcessSpec) -> None:
        key = (spec.group, spec.name)
        if key in self._running and self._running[key].poll() is None:
            return
        with spec.log_path.open("ab") as log:
            self._running[key] = subprocess.Popen(
                spec.argv,
                env={**os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in list(keys):
            process = self._running.pop(key)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def _until(self, condition: Callable[[], object], limit_s: float) -> None:
        """Ask the control plane until it is so, and no oftener than it lets an account ask."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"still not so after {limit_s:g} s")
            time.sleep(0.1)

    def _healthy(self) -> bool:
        for (_, name), process in self._running.items():
            assert process.poll() is None, f"{name} has ended: {self._log_of(name)}"
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get("/healthz").is_success
        return False

    def _log_of(self, name: str) -> str:
        return (self.plan.control_dir / f"{name}.log").read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def running_site(run_dir: Path, devices: int = 3) -> Iterator[LiveSite]:
    """A site that is gone when the block ends."""
    site = LiveSite(run_dir, devices)
    try:
        site.start()
        yield site
    finally:
        site.close()
