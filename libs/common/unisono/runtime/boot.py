"""Which boot of the machine this is, and which monotonic clock its processes read."""

import secrets
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from unisono.wire.beacon import CLOCK_ID_BYTES

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
# A time namespace has a monotonic clock of its own. Both are absent on kernels before 5.6.
TIME_NAMESPACE: Final = Path("/proc/self/ns/time")
TIME_OFFSETS: Final = Path("/proc/self/timens_offsets")


def boot_id(path: Path = BOOT_ID) -> str:
    """The kernel's id of this boot; empty where there is none, which then never changes."""
    return _text(path)


def clock_id(
    boot: Path = BOOT_ID, namespace: Path = TIME_NAMESPACE, offsets: Path = TIME_OFFSETS
) -> bytes:
    """8 bytes that name this process's monotonic clock, for as long as that clock runs on.

    Where nothing tells one boot from the next they are random, once a process: a name that
    changes too often costs a follower some tenths of a second, one that does not, much more.
    """
    if not (booted := boot_id(boot)):
        return _random_id()
    try:
        named = str(namespace.readlink())
    except OSError:
        named = ""
    # The number of a namespace that has ended is given to the next one; its offset then differs.
    parts = (booted, named, _text(offsets))
    return sha256("\0".join(parts).encode(errors="surrogateescape")).digest()[:CLOCK_ID_BYTES]


@cache
def _random_id() -> bytes:
    return secrets.token_bytes(CLOCK_ID_BYTES)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
