"""Who runs where: devices, addresses, ports and directories of one demo. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.lab.namespaces import INTERFACE, Lab
from unisono.lan.interface import ANY_ADDRESS
from unisono.player.launch import Window

SITE = "demo"
CONTROL = "control"
LOOPBACK = "127.0.0.1"
DEVICE_PORTS = 3  # beacons, probes, metrics
SERVICES = ("cloud-bridge", "beacon", "corrector", "exporter")

# Fixed inside a namespace, where nobody else listens.
_CONTROL_PORT, _BEACON_PORT, _PROBE_PORT, _UDP_PORT, _EXPORTER_PORT = 8080, 7600, 7601, 7603, 9760
# A device's clock is ahead of the machine's by its number times this: far more than a run lasts.
_CLOCK_STEP_S = 1_013


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device: where it lives and where its parts listen."""

    device_id: str
    number: int  # from 0 on
    run_dir: Path
    address: str
    beacon_port: int
    probe_port: int
    exporter_port: int
    redis_url: str
    clock_offset_s: int

    @property
    def metrics_url(self) -> str:
        """Where Prometheus would scrape this device."""
        return f"http://{self.address}:{self.exporter_port}/metrics"

    @property
    def player_socket(self) -> Path:
        """The player's IPC socket."""
        return self.run_dir / "mpv.sock"

    @property
    def secret_file(self) -> Path:
        """Where the secret given at enrolment is kept for its processes."""
        return self.run_dir / "secret"


@dataclass(frozen=True, slots=True)
class SitePlan:
    """The whole demo; ``lab`` is None when all share this machine's network and clock."""

    run_dir: Path
    control_address: str
    control_port: int
    devices: tuple[DevicePlan, ...]
    lab: Lab | None
    udp_port: int  # of all devices: who hears the group is told by it
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def control_url(self) -> str:
        """The API."""
        return f"http://{self.control_address}:{self.control_port}"

    @property
    def redis_socket(self) -> Path:
        """One server for all: database 0 is the control plane's, number i + 1 device i's."""
        return self.run_dir / "redis.sock"

    @property
    def control_dir(self) -> Path:
        """Logs of what is not a device's."""
        return self.run_dir / CONTROL

    def clock_offset_s(self, group: str) -> int:
        """How far the clock of a device (or of "control") is ahead of the machine's."""
        return next((d.clock_offset_s for d in self.devices if d.device_id == group), 0)

    @property
    def databases(self) -> int:
        """How many databases the server must hold."""
        return len(self.devices) + 1


def hosts(devices: int) -> list[str]:
    """Names of the hosts of a lab: the control plane, then the devices."""
    return [CONTROL, *device_ids(devices)]


def device_ids(devices: int) -> list[str]:
    """``screen-1`` and so on."""
    return [f"screen-{number + 1}" for number in range(devices)]


def ports_needed(devices: int, control_port: int) -> int:
    """How many free ports `plan_site` takes when nothing is isolated."""
    return DEVICE_PORTS * devices + (1 if control_port else 2)


def plan_site(
    run_dir: Path,
    devices: int,
    *,
    lab: Lab | None,
    free_ports: Iterator[int],
    control_port: int = 0,
    flags: Mapping[str, str] | None = None,
) -> SitePlan:
    """Lay a site out: in ``lab``, or on loopback with ports from ``free_ports``.

    ``flags``: the ``SYNC_*`` values that the user chose; they go over the demo's own.
    """
    shared = lab is None

    def port(fixed: int) -> int:
        return next(free_ports) if shared else fixed

    return SitePlan(
        run_dir=run_dir,
        control_address=LOOPBACK if lab is None else lab.address(CONTROL),
        control_port=control_port or port(_CONTROL_PORT),
        lab=lab,
        udp_port=port(_UDP_PORT),
        flags=flags or {},
        devices=tuple(
            DevicePlan(
                device_id=device_id,
                number=number,
                run_dir=run_dir / device_id,
                address=LOOPBACK if lab is None else lab.address(device_id),
                beacon_port=port(_BEACON_PORT),
                probe_port=port(_PROBE_PORT),
                exporter_port=port(_EXPORTER_PORT),
                redis_url=f"unix://{run_dir / 'redis.sock'}?db={number + 1}",
                clock_offset_s=0 if shared else _CLOCK_STEP_S * (number + 1),
            )
            for number, device_id in enumerate(device_ids(devices))
        ),
    )


def device_environment(site: SitePlan, device: DevicePlan) -> dict[str, str]:
    """What the four processes of a device are told."""
    settings = {
        "DEVICE_ID": device.device_id,
        "DEVICE_SECRET_FILE": str(device.secret_file),
        "SITE": SITE,
        "CONTROL_URL": site.control_url,
        "RUN_DIR": str(device.run_dir),
        "REDIS_URL": device.redis_url,
        # By name in a lab, where an address may be changed as by DHCP; all of them are its own.
        "LAN_INTERFACE": device.address if site.lab is None else INTERFACE,
        "BEACON_PORT": str(device.beacon_port),
        "PROBE_PORT": str(device.probe_port),
        "UDP_PORT": str(site.udp_port),
        "EXPORTER_HOST": device.address if site.lab is None else ANY_ADDRESS,
        "EXPORTER_PORT": str(device.exporter_port),
    }
    return {f"UNISONO_{name}": value for name, value in settings.items()} | site_flags(site)


def site_flags(site: SitePlan) -> dict[str, str]:
    """The ``SYNC_*`` flags of a demo, under those that the user chose."""
    return {"SYNC_LAN_ENABLED": "1"} | dict(site.flags)


def wall_window(number: int, columns: int, cell: tuple[int, int]) -> Window:
    """Place of the window of device ``number`` (from 0) in the grid, row by row."""
    width, height = cell
    return Window(number % columns * width, number // columns * height, width, height)
