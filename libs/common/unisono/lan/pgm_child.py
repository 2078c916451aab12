"""The child process that holds one EPGM socket, and nothing else.

``python -m unisono.lan.pgm_child pub|sub FD INTERFACE GROUP PORT``: one empty datagram from
anyone on the LAN makes libpgm's reader abort its process, so that process must be one that
nobody misses. It talks to its parent through the SOCK_SEQPACKET socket ``FD``: to ``pub`` go
frames; from ``sub`` come frames behind 8 bytes, their monotonic time stamp (ns, big-endian).
It ends when its parent closes that socket.
"""

import os
import socket
import struct
import sys
import time
from typing import Final

import zmq

# What a packet may carry, and how long the sender keeps it for repair. Rate and interval give
# the repair window in packets; where that rounds down to one, a subscriber hears nothing more.
RATE_KBITS: Final = 10_000
RECOVERY_MS: Final = 1_000
MAX_PACKET_BYTES: Final = 1_500
MIN_WINDOW_PACKETS: Final = 16
QUEUE_FRAMES: Final = 8
MAX_FRAME_BYTES: Final = 255

STAMP: Final = struct.Struct(">q")

window_packets = (RATE_KBITS // 8) * RECOVERY_MS // MAX_PACKET_BYTES
assert window_packets >= MIN_WINDOW_PACKETS  # noqa: S101 - see above


def open_socket(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, where: str
) -> "zmq.Socket[bytes]":
    """A PUB or SUB socket on ``where``, options set before it."""
    pgm = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE_FRAMES),
        (zmq.RCVHWM, QUEUE_FRAMES),
        (zmq.RATE, RATE_KBITS),
        (zmq.RECOVERY_IVL, RECOVERY_MS),
        (zmq.MULTICAST_HOPS, 1),
        (zmq.MULTICAST_MAXTPDU, MAX_PACKET_BYTES),
    ):
        pgm.setsockopt(option, value)
    if kind == zmq.SUB:
        pgm.setsockopt(zmq.SUBSCRIBE, b"")
        pgm.connect(where)
    else:
        pgm.bind(where)
    return pgm


def publish(parent: socket.socket, pgm: "zmq.Socket[bytes]") -> None:
    """Parent to network, until the parent is gone."""
    while frame := parent.recv(MAX_FRAME_BYTES):
        pgm.send(frame, zmq.NOBLOCK)


def subscribe(parent: socket.socket, pgm: "zmq.Socket[bytes]") -> None:
    """Network to parent, until the parent is gone. A parent that is slow misses frames."""
    poller = zmq.Poller()
    poller.register(pgm, zmq.POLLIN)
    poller.register(parent.fileno(), zmq.POLLIN)
    parent.setblocking(False)
    while True:
        ready = dict(poller.poll())
        if parent.fileno() in ready:
            return
        frame = pgm.recv(zmq.NOBLOCK)
        stamped = STAMP.pack(time.monotonic_ns()) + frame[: MAX_FRAME_BYTES + 1]
        try:
            parent.send(stamped)
        except BlockingIOError:
            continue


def main() -> int:
    """Serve until the parent closes the socket; 2 when the endpoint cannot be used."""
    role, descriptor, interface, group, port = sys.argv[1:6]
    # libpgm's timers would otherwise run on the wall clock, and stop when it is set back.
    os.environ["PGM_TIMER"] = "CLOCK"
    parent = socket.socket(fileno=int(descriptor))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    try:
        kind = zmq.PUB if role == "pub" else zmq.SUB
        # Numbers only, as its parent has checked: libzmq would ask DNS for a name, or abort.
        pgm = open_socket(context, kind, f"epgm://{interface};{group}:{port}")
    except zmq.ZMQError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        (publish if role == "pub" else subscribe)(parent, pgm)
    except (OSError, KeyboardInterrupt):
        return 0
    finally:
        context.destroy(linger=0)
        parent.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
