"""Entry point of the control plane under uvicorn."""

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn
import uvloop

from services.control_plane.app import create_app, open_store, wall_ms
from services.control_plane.devices.enrolment import seed_tokens
from services.control_plane.settings import PREFIX, ControlSettings, load_control_settings
from unisono.runtime import EXIT_USAGE, UserError, set_log_level, set_up_log, until_signal
from unisono.state import StateError

# Calls are short; whoever holds a connection open longer than this loses it at shutdown.
SHUTDOWN_S = 3
# Longer than the pause between two calls of a quiet device, so that connections are kept.
KEEP_ALIVE_S = 75
BACKLOG = 1024

_REDIS_HELP = (
    "redis://HOST:PORT/N or unix://PATH?db=N. With a password, set UNISONO_CONTROL_REDIS_URL="
    "redis://:PASSWORD@HOST:PORT/N in the environment instead: everybody on this machine can "
    "read a process's options."
)

_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, but for the signals: `serve` owns them, so that the exit status is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def serve(settings: ControlSettings) -> None:
    """Serve until SIGTERM or SIGINT. `UserError` when the port or Redis cannot be had."""
    listening = listen(settings.host, settings.port)
    try:
        store = open_store(settings)
        app = create_app(settings, store)
        try:
            await store.ping()
            await seed_tokens(settings, store, wall_ms())
        except StateError as error:
            await store.close()
            raise UserError(f"{error}; start it, or set UNISONO_CONTROL_REDIS_URL") from None
        host, port = listening.getsockname()[:2]
        _log.info("listening on http://%s:%d", host, port)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whose word is taken is a setting of ours
        )
        await _run(config, listening)
    finally:
        listening.close()


async def _run(config: uvicorn.Config, listening: socket.socket) -> None:
    config.timeout_graceful_shutdown = SHUTDOWN_S
    config.timeout_keep_alive = KEEP_ALIVE_S
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(until_signal())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `UserError` says why there is none."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        # The protocol must be named: asyncio switches Nagle's delay off only where it reads TCP,
        # and with the delay every answer on a kept connection takes 40 ms longer.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"cannot listen on {host}:{port}: {reason}; choose another --host or --port"
        ) from None
    return listening


def main(argv: Sequence[str] | None = None) -> int:
    """Run the control plane; the exit status of the process."""
    parser = argparse.ArgumentParser(
        prog="unisono-control-plane",
        description="Control plane of Unísono. Everything is set by UNISONO_CONTROL_* variables; "
        "these options win over them. UNISONO_CONTROL_ADMIN_TOKEN is needed.",
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", help="port to listen on; 0: a free one")
    parser.add_argument("--redis-url", help=_REDIS_HELP)
    given = vars(parser.parse_args(argv)).items()
    options = {PREFIX + name.upper(): value for name, value in given if value is not None}
    set_up_log("control-plane")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = load_control_settings({**os.environ, **options})
        set_log_level(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except UserError as error:
        _log.error("%s", error)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
