"""The command lines of a demo's processes."""

import functools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.cli.demo.display import reachable
from services.cli.demo.embedded import server_command
from services.cli.demo.options import Options
from services.cli.demo.plan import (
    CONTROL,
    SERVICES,
    DevicePlan,
    SitePlan,
    device_environment,
    wall_window,
)
from services.cli.demo.processes import ProcessSpec
from unisono.player.launch import mpv_command

PLAYER = "player"


def shared_specs(site: SitePlan, admin_token: str) -> Iterator[ProcessSpec]:
    """The Redis-compatible server and the control plane."""
    yield _spec(site, CONTROL, "redis", _server(site))
    settings = {
        "HOST": site.control_address,
        "PORT": str(site.control_port),
        "REDIS_URL": f"unix://{site.redis_socket}?db=0",
        "ADMIN_TOKEN": admin_token,
    }
    environment = {f"UNISONO_CONTROL_{name}": value for name, value in settings.items()}
    yield _spec(site, CONTROL, "control-plane", _program("unisono-control-plane"), environment)


def _server(site: SitePlan) -> list[str]:
    return server_command(site.redis_socket, site.databases, site.control_dir)


def device_specs(site: SitePlan, device: DevicePlan, asked: Options) -> Iterator[ProcessSpec]:
    """The player and the four processes of one device."""
    player = (
        [*_program("unisono-sim-player"), "--socket", str(device.player_socket)]
        if asked.player == "sim"
        else _mpv(device, asked)
    )
    yield _spec(site, device.device_id, PLAYER, player)
    environment = device_environment(site, device)
    for service in SERVICES:
        program = _program(f"unisono-{service}")
        yield _spec(site, device.device_id, service, program, environment)


def shown(asked: Options) -> bool:
    """Whether the players' pictures are shown in windows."""
    return asked.wall is not None and _has_display()


@functools.cache  # asked for each player, and a host that is away takes a while
def _has_display() -> bool:
    return reachable(os.environ)


def _mpv(device: DevicePlan, asked: Options) -> list[str]:
    window = None
    if asked.wall is not None and shown(asked):
        window = wall_window(device.number, asked.wall[0], asked.cell)
    return mpv_command(device.player_socket, window=window)


def _spec(
    site: SitePlan, group: str, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
) -> ProcessSpec:
    if site.lab is not None:
        argv = site.lab.wrap(group, argv, site.clock_offset_s(group))
    return ProcessSpec(group, name, tuple(argv), site.run_dir / group / f"{name}.log", env or {})


def _program(name: str) -> list[str]:
    """A console script of this very installation."""
    return [str(Path(sys.executable).parent / name)]
