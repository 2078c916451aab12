"""The ``UNISONO_*`` settings of one device: who it is and where its parts listen."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unisono.config.table import ConfigError, Value, load, row

PREFIX = "UNISONO_"

# A unix socket's path holds 107 bytes; the longest name that we append is bus/cloud_bridge.sock.
MAX_RUN_DIR_BYTES = 107 - len("/bus/cloud_bridge.sock")

# A path of an address: it starts with one slash, and has neither query, fragment nor blanks.
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per setting; the field ``device_id`` is the variable ``UNISONO_DEVICE_ID``."""

    device_id: str = row("", "This device's id, given at enrolment")
    device_secret: str = row("", "This device's secret, whole as enrolment gave it")
    device_secret_file: str = row("", "File that holds the secret, instead of the variable")
    site: str = row("", "Site (one LAN) that the device belongs to")
    control_url: str = row("http://127.0.0.1:8080", "Address of the control plane")
    control_path_heartbeat: str = row("/v1/device/heartbeat", "Path of device heartbeat there")
    control_path_status: str = row("/v1/sync/status/runtime", "Path of sync status runtime there")
    control_path_commands: str = row(
        "/v1/device/commands", "Path of device commands there; acks go to PATH/COMMAND/ack"
    )
    control_path_rotate: str = row(
        "/v1/device/rotate", "Path there where the device gets another secret when it is told to"
    )
    run_dir: str = row("/run/unisono", "Directory of the device's sockets")
    redis_url: str = row(
        "unix:///run/unisono/redis.sock", "Local Redis: unix://PATH?db=N or redis://HOST:PORT/N"
    )
    lan_interface: str = row("auto", "LAN interface: auto, a name (eth0) or a numeric address")
    beacon_port: int = row(
        7600,
        "Port that followers ask for unicast beacons at: over TCP, and by datagrams over UDP",
        low=1,
        high=65535,
    )
    probe_port: int = row(
        7601, "Port of the clock probes: UDP, and TCP where UDP is blocked", low=1, high=65535
    )
    multicast_group: str = row(
        "auto",
        "Multicast group of the site's beacons; auto derives one in 239.192.0.0/14 from the site",
    )
    multicast_port: int = row(7602, "UDP port of PGM multicast", low=1, high=65535)
    udp_port: int = row(7603, "UDP port of plain multicast; PGM cannot share it", low=1, high=65535)
    exporter_host: str = row("127.0.0.1", "Address that /metrics listens on")
    exporter_port: int = row(9760, "Port of /metrics", low=1, high=65535)
    player_socket: str = row("", "The player's JSON IPC socket; default RUN_DIR/mpv.sock")
    media_dir: str = row("", "Directory that relative media paths start from")
    log_level: str = row("info", "Log level", choices=("debug", "info", "warning", "error"))

    @property
    def player_socket_path(self) -> Path:
        """Where the player's IPC socket is."""
        return Path(self.player_socket) if self.player_socket else Path(self.run_dir) / "mpv.sock"

    @property
    def bus_dir(self) -> Path:
        """Where the processes of this device meet (`unisono.bus`)."""
        return Path(self.run_dir) / "bus"

    def secret(self) -> str:
        """The device's secret, from the variable or the file; ConfigError when there is none."""
        if self.device_secret:
            return self.device_secret
        if not self.device_secret_file:
            raise ConfigError("UNISONO_DEVICE_SECRET is not set: enrol this device first")
        try:
            return Path(self.device_secret_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            reason = error.strerror or "not readable"
            raise ConfigError(
                f"UNISONO_DEVICE_SECRET_FILE={self.device_secret_file}: {reason}"
            ) from None


def load_settings(values: Mapping[str, Value] | None = None) -> Settings:
    """Settings from ``values`` (default: the environment); ConfigError says what is unfit."""
    settings = load(Settings, PREFIX, os.environ if values is None else values)
    if not settings.device_id:
        raise ConfigError("UNISONO_DEVICE_ID is not set: enrol this device first")
    if not settings.control_url.startswith(("http://", "https://")):
        raise ConfigError(
            f"UNISONO_CONTROL_URL={settings.control_url}: use an address like https://HOST"
        )
    for name in ("heartbeat", "status", "commands", "rotate"):
        path = getattr(settings, f"control_path_{name}")
        if not _PATH.fullmatch(path):
            raise ConfigError(
                f"UNISONO_CONTROL_PATH_{name.upper()}={path}: use a path such as /v1/device/{name}"
            )
    if len(os.fsencode(settings.run_dir)) > MAX_RUN_DIR_BYTES:
        raise ConfigError(
            f"UNISONO_RUN_DIR={settings.run_dir}: longer than {MAX_RUN_DIR_BYTES} bytes, "
            "too long for a unix socket; choose a shorter directory"
        )
    return settings
