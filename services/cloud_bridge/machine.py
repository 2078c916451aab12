"""What the machine itself can say of this device: its place on the LAN, its cable, its clock."""

from dataclasses import dataclass

from unisono.lan.interface import resolve_interface
from unisono.lan.wired import is_wired
from unisono.runtime.wallclock import read_wall_clock


@dataclass(frozen=True, slots=True)
class Machine:
    """``wired``, ``clock_healthy`` and ``clock_error_ms`` are None where nobody can tell."""

    address: str
    wired: bool | None = None
    clock_healthy: bool | None = None
    clock_error_ms: float | None = None


def look(lan_interface: str) -> Machine:
    """The machine as it is now; `LanError` when it has no such interface."""
    address = resolve_interface(lan_interface)
    wall_clock = read_wall_clock()
    return Machine(
        address=address,
        wired=is_wired(address),
        clock_healthy=None if wall_clock is None else wall_clock.healthy,
        clock_error_ms=None if wall_clock is None else wall_clock.max_error_ms,
    )
