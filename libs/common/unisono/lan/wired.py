"""Whether the LAN interface is a cable or a radio: the lead goes to cables first."""

from pathlib import Path
from typing import Final

from unisono.lan.interface import LOOPBACK, name_of

SYSFS: Final = Path("/sys/class/net")
# What only a radio has there, with the kernel's old and its present Wi-Fi interface.
_RADIO_SIGNS: Final = ("wireless", "phy80211")


def is_wired(address: str, sysfs: Path = SYSFS) -> bool | None:
    """Whether the interface that has ``address`` is no radio; bridges and virtual ones are none.

    None for loopback, and where the kernel does not tell.
    """
    name = None if address == LOOPBACK else name_of(address)
    return None if name is None else is_wired_interface(name, sysfs)


def is_wired_interface(name: str, sysfs: Path = SYSFS) -> bool | None:
    """The same by the interface's name."""
    place = sysfs / name
    try:
        if not place.is_dir():
            return None
        return not any((place / sign).exists() for sign in _RADIO_SIGNS)
    except OSError:
        return None
