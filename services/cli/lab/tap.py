"""Network interfaces whose other end is a file: TAP devices, made in a host's namespace (root).

The file stays good wherever its owner is; the interface lives in the namespace in which the file
was opened, and goes when the file is closed.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DEVICE: Final = Path("/dev/net/tun")
NETNS_DIR: Final = Path("/var/run/netns")
MAX_FRAME_BYTES: Final = 65_536  # no interface is set to more
# linux/if_tun.h and linux/sched.h
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
_CLONE_NEWNET: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """This thread in ``namespace`` for the block: sockets opened in it stay there. None: no move.

    OSError when there is no such namespace, or we may not enter it.
    """
    if namespace is None:
        yield
        return
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NETNS_DIR / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(here)
    finally:
        os.close(here)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "network namespace")


class Tap:
    """One interface. After `close`, or when somebody deletes the interface, nothing passes."""

    def __init__(self, namespace: str | None, name: str) -> None:
        with inside(namespace):
            self._file = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH14x", name.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self._file, _TUNSETIFF, request)
        except OSError:
            os.close(self._file)
            raise

    def fileno(self) -> int:
        """For whoever waits until there is something to read."""
        return self._file

    def read(self) -> bytes | None:
        """The next frame that the host has sent; None when there is none.

        ConnectionResetError when the interface is gone for good.
        """
        try:
            return os.read(self._file, MAX_FRAME_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EBADFD:
                raise ConnectionResetError(error.errno, "the interface is gone") from None
            return None  # it is down

    def write(self, frame: bytes) -> bool:
        """Hand ``frame`` to the host; False when its interface is down, gone or full."""
        try:
            os.write(self._file, frame)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Take the interface away."""
        os.close(self._file)
