"""Passwords: kept as scrypt's hash, with its salt and costs; never in the clear, never logged.

An entry reads ``scrypt$LOG2_N$R$P$SALT$HASH`` (hexadecimal), so that the costs can grow and old
entries still be checked. One check takes some 0.2 s of one core: it runs in a thread.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.control_plane.metering import Meter

T = TypeVar("T")

MIN_CHARS = 12
MAX_CHARS = 256
_KIND = "scrypt"
_SALT_BYTES = 16
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Costs:
    """What scrypt is made to cost: memory 128 * 2**log2_n * r bytes, time p times as much."""

    log2_n: int
    r: int
    p: int


# Of the settings that OWASP holds equal the one with the least memory (16 MiB a check): a
# function in the cloud has little, and several may log in at once.
COSTS = Costs(log2_n=14, r=8, p=5)


def entry_of(password: str, costs: Costs | None = None) -> str:
    """The entry to keep of a password, with a salt of its own; ``costs``: None for `COSTS`."""
    costs = COSTS if costs is None else costs
    salt = secrets.token_bytes(_SALT_BYTES)
    figures = f"{costs.log2_n}${costs.r}${costs.p}"
    return f"{_KIND}${figures}${salt.hex()}${_hash(password, salt, costs).hex()}"


def is_of(entry: str | None, password: str) -> bool:
    """Whether ``password`` is the one of that entry.

    Without an entry (or with one that cannot be read) the same work is done in vain: how long
    the answer takes tells nobody whether there is such an account.
    """
    read = None if entry is None else _read(entry)
    if read is None:
        _hash(password, bytes(_SALT_BYTES), COSTS)
        return False
    costs, salt, kept = read
    return hmac.compare_digest(_hash(password, salt, costs), kept)


def fingerprint(entry: str) -> str:
    """What ties a login to the entry that it was made with: another password ends it."""
    return hashlib.sha256(entry.encode()).hexdigest()


async def made(password: str, meter: Meter) -> str:
    """`entry_of` in a thread; its CPU time goes to ``meter``."""
    return await _in_thread(lambda: entry_of(password), meter)


async def matches(entry: str | None, password: str, meter: Meter) -> bool:
    """`is_of` in a thread; its CPU time goes to ``meter``."""
    return await _in_thread(lambda: is_of(entry, password), meter)


async def _in_thread(work: Callable[[], T], meter: Meter) -> T:
    def timed() -> tuple[T, int]:
        start_ns = time.thread_time_ns()
        return work(), time.thread_time_ns() - start_ns

    result, used_ns = await asyncio.to_thread(timed)
    meter.add_ns(used_ns)
    return result


def _hash(password: str, salt: bytes, costs: Costs) -> bytes:
    # The same letters may be typed in several ways; all of them are the same password.
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    n = 1 << costs.log2_n
    room = 128 * costs.r * (n + costs.p + 2)
    return hashlib.scrypt(
        typed, salt=salt, n=n, r=costs.r, p=costs.p, maxmem=room, dklen=_HASH_BYTES
    )


def _read(entry: str) -> tuple[Costs, bytes, bytes] | None:
    words = entry.split("$")
    if len(words) != 6 or words[0] != _KIND:
        return None
    try:
        costs = Costs(*(int(word) for word in words[1:4]))
        return costs, bytes.fromhex(words[4]), bytes.fromhex(words[5])
    except ValueError:
        return None
