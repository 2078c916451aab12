"""The listener of probes over TCP as an echo, and peers of it that do what they like."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from unisono.core.units import OwnNs
from unisono.lan.paths import Endpoint
from unisono.lan.tcp_probes import TcpProbeListener
from unisono.wire.probe import PROBE_BYTES

HERE = "127.0.0.1"
GOOD, BAD = b"g" * PROBE_BYTES, b"b" * PROBE_BYTES

Heard = list[tuple[bytes, Endpoint, OwnNs]]


@contextlib.asynccontextmanager
async def echo(port: int = 0) -> AsyncIterator[tuple[TcpProbeListener, Heard]]:
    """A listener that answers what is good, and what it has heard."""
    listener = TcpProbeListener(HERE, port)
    heard: Heard = []

    def take(data: bytes, asker: Endpoint, at_ns: OwnNs) -> None:
        heard.append((data, asker, at_ns))
        if data == GOOD:
            assert listener.send(data, asker)

    listener.listen(take)
    try:
        yield listener, heard
    finally:
        listener.close()


async def connect(to: Endpoint, *, address: str = HERE) -> socket.socket:
    """A peer that does what it likes, at ``address``."""
    peer = socket.socket()
    peer.setblocking(False)
    peer.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(peer, (to.address, to.port))
    return peer


async def ended(peer: socket.socket) -> bool:
    """Whether the other end has closed; what it said before is passed over."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while await loop.sock_recv(peer, 4096):
                pass
    peer.close()
    return True


async def answered(peer: socket.socket) -> bool:
    """Whether a good message of ``peer`` gets its answer."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(peer, GOOD)
    async with asyncio.timeout(5):
        return await loop.sock_recv(peer, PROBE_BYTES) == GOOD
