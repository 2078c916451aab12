"""What a site's flag and settings mean on this machine: which beacon paths, which group. Pure."""

import ipaddress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from unisono.lan.errors import LanError
from unisono.lan.paths import PGM, TCP, UDP

# What the flag's ``auto`` means: multicast without a child process or repairs that hold back
# what is newer, and the path that every network lets through.
AUTO_PATHS: Final = (UDP, TCP)
# In this order they are sent to: the cheapest and least delayed first.
_ORDER: Final = (UDP, TCP, PGM)

# The organisation-local scope (RFC 2365): routers keep it inside the site, and its Ethernet
# addresses are not those of the groups that switches flood.
_SCOPE: Final = ipaddress.IPv4Network("239.192.0.0/14")


@dataclass(frozen=True, slots=True)
class Choice:
    """``paths`` of `PGM`, `UDP`, `TCP`; ``missing`` is "", or one sentence for the log."""

    paths: tuple[str, ...]
    missing: str = ""


def choose_paths(transport: str, *, has_pgm: bool) -> Choice:
    """The paths that the flag ``lan_transport`` means here: ``auto``, or names with commas.

    PGM where there is none is left out, and said; with nothing left, those of ``auto`` carry
    the beat.
    """
    if transport == "auto":
        return Choice(AUTO_PATHS)
    asked = {name.strip() for name in transport.split(",")}
    if PGM not in asked or has_pgm:
        return Choice(tuple(path for path in _ORDER if path in asked))
    paths = tuple(path for path in _ORDER if path in asked - {PGM}) or AUTO_PATHS
    return Choice(
        paths,
        f"SYNC_LAN_TRANSPORT={transport}: this machine's libzmq has no PGM, so beacons go over "
        f"{' and '.join(paths)}; to get it, install libzmq3-dev and run `make setup PGM=1`, or "
        "leave pgm out of the flag",
    )


def multicast_group(setting: str, site: str) -> str:
    """The numeric address of the site's group; `LanError` for what is no multicast address.

    ``auto`` takes 18 bits of a hash of the site's name, so that two sites on one LAN meet in
    one group once in some 262,000 times; beacons are told apart by their session even then.
    """
    if setting == "auto":
        digest = sha256(b"multicast group\0" + site.encode()).digest()
        return str(_SCOPE[int.from_bytes(digest[:4]) % _SCOPE.num_addresses])
    try:
        group = ipaddress.IPv4Address(setting)
    except ValueError:
        group = None
    if group is None or not group.is_multicast:
        raise LanError(
            f"UNISONO_MULTICAST_GROUP={setting}: use auto, or an IPv4 multicast address "
            "like 239.192.76.0"
        )
    return str(group)
