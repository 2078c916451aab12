"""``unisono-sim-player``: a process that answers on a socket as mpv does, with a model behind.

It lets everything run where mpv is not installed, and its "picture" outlives whoever steers it,
as mpv's does. It speaks the part of mpv's JSON IPC that `MpvPlayer` and outside observers use.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unisono.clock import own_ns
from unisono.core.playerstate import PlayerTraits
from unisono.core.units import NS_PER_S, NS_PER_US, ms_to_ns, ns_to_ms
from unisono.player.edl import span_of_url
from unisono.player.media import local_path
from unisono.player.model import SIM_TRAITS, Failings, PlayerModel
from unisono.player.sim_properties import SimProperties

FILM_NS = 60 * NS_PER_S  # a single film of unknown length; only edit lists are ever played
LINE_LIMIT_BYTES = 4 << 20


class RefusedError(Exception):
    """A command that mpv would refuse, in mpv's own words."""


class SimServer:
    """The model, mpv's words for it, and the clients that observe it."""

    def __init__(self, model: PlayerModel) -> None:
        self._model = model
        self._properties = SimProperties(model)
        self._entry = 0
        self._clients: dict[asyncio.StreamWriter, dict[int, str]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._ready: asyncio.TimerHandle | None = None
        self.quit = asyncio.Event()
        self._commands: dict[str, Callable[..., Any]] = {
            "get_property": self._get,
            "set_property": self._set,
            "seek": self._seek,
            "loadfile": self._loadfile,
            "stop": lambda: self._unload("stop"),
            "quit": lambda *_: self.quit.set(),
            "client_name": lambda: "sim",
            "get_version": lambda: 0x20000,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs it as one
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._clients[writer] = {}
        try:
            while line := await reader.readline():
                self._answer(line, writer)
                await writer.drain()
        except (ConnectionError, ValueError):  # gone, or a line beyond the limit
            pass
        finally:
            del self._clients[writer]
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Part with every client; returns when all are gone."""
        for writer in self._clients:
            writer.close()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] = {"request_id": 0}
        try:
            message = json.loads(line)
            answer["request_id"] = message.get("request_id", 0)
            answer["data"] = self._run(message["command"], writer)
            answer["error"] = "success"
        except RefusedError as refused:
            answer["error"] = str(refused)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            answer["error"] = "invalid parameter"
        _send(writer, answer)

    def _run(self, command: Any, writer: asyncio.StreamWriter) -> Any:
        if isinstance(command, dict):
            arguments = dict(command)
            return self._commands[arguments.pop("name")](**arguments)
        name, *rest = command
        if name == "observe_property":
            number, observed = int(rest[0]), str(rest[1])
            self._clients[writer][number] = observed
            self._report(writer, number, observed)
            return None
        if name == "unobserve_property":
            self._clients[writer].pop(int(rest[0]), None)
            return None
        return self._commands[name](*rest)

    # -- properties --------------------------------------------------------------------------

    def _get(self, name: str) -> Any:
        value = self._properties.read(name, own_ns())
        if value is None:
            raise RefusedError("property unavailable")
        return value

    def _set(self, name: str, value: Any) -> None:
        now_ns = own_ns()
        if name == "pause":
            self._model.set_paused(value in (True, "yes"), now_ns)
        elif name == "speed":
            if not 0.01 <= float(value) <= 100:
                raise RefusedError("unsupported format for accessing property")
            self._model.set_speed(float(value), now_ns)
        elif name in ("mute", "volume"):
            return
        else:
            raise RefusedError("property not found")
        self._report_all(name)

    # -- media -------------------------------------------------------------------------------

    def _seek(self, target: float, flags: str = "relative") -> None:
        now_ns = own_ns()
        span_ns = self._model.span_ns
        if span_ns is None:
            raise RefusedError("error running command")
        base_ns = 0 if "absolute" in flags else self._model.position_ns(now_ns) or 0
        place_ns = base_ns + round(float(target) * NS_PER_S)
        self._model.seek(min(max(place_ns, 0), span_ns - 1), now_ns)
        self._tell({"event": "seek"})
        self._restart_later()

    def _loadfile(
        self,
        url: str,
        flags: str = "replace",  # noqa: ARG002 - mpv's own argument; here all loads replace
        options: dict[str, str] | None = None,
    ) -> dict[str, int]:
        asked = options or {}
        self._unload("stop")
        self._entry += 1
        entry = {"playlist_entry_id": self._entry}
        # The answer to the command goes out before what it sets in motion, as in mpv.
        asyncio.get_running_loop().call_soon(self._open, url, asked, self._entry)
        return entry

    def _open(self, url: str, options: dict[str, str], entry: int) -> None:
        self._tell({"event": "start-file", "playlist_entry_id": entry})
        path = None if url.startswith("edl:") else local_path(url)
        if path is not None and not path.is_file():
            error = {"reason": "error", "file_error": "loading failed"}
            self._tell({"event": "end-file", "playlist_entry_id": entry, **error})
            return
        now_ns = own_ns()
        self._properties.url = url
        self._properties.title = options.get("force-media-title", "")
        if "pause" in options:
            self._model.set_paused(options["pause"] == "yes", now_ns)
        start_ns = round(float(options.get("start", 0)) * NS_PER_S)
        self._model.load(span_of_url(url) or FILM_NS, start_ns, now_ns)
        self._report_all("pause", "idle-active")
        self._tell({"event": "file-loaded"})
        self._restart_later()

    def _unload(self, reason: str) -> None:
        if self._model.span_ns is None:
            return
        self._model.stop(own_ns())
        self._properties.url = self._properties.title = ""
        self._tell({"event": "end-file", "playlist_entry_id": self._entry, "reason": reason})
        self._report_all("idle-active")

    def _restart_later(self) -> None:
        """Announce the end of a load or a seek when the model reaches it."""
        if self._ready is not None:
            self._ready.cancel()
            self._ready = None
        now_ns = own_ns()
        if self._model.span_ns is None:
            return
        ready_at_ns = self._model.ready_at_ns(now_ns)
        if ready_at_ns is None:
            self._tell({"event": "playback-restart"})
            return
        wait_s = (ready_at_ns - now_ns) / NS_PER_S
        self._ready = asyncio.get_running_loop().call_later(wait_s, self._restart_later)

    # -- clients -----------------------------------------------------------------------------

    def _tell(self, event: dict[str, Any]) -> None:
        for writer in self._clients:
            _send(writer, event)

    def _report_all(self, *names: str) -> None:
        for writer, observed in self._clients.items():
            for number, name in observed.items():
                if name in names:
                    self._report(writer, number, name)

    def _report(self, writer: asyncio.StreamWriter, number: int, name: str) -> None:
        event = {"event": "property-change", "id": number, "name": name}
        value = self._properties.read(name, own_ns())
        _send(writer, event if value is None else event | {"data": value})


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")


async def run(socket_path: Path, model: PlayerModel) -> None:
    """Serve until SIGTERM, SIGINT or the command ``quit``; the socket file goes with it."""
    server = SimServer(model)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.quit.set)
    listener = await asyncio.start_unix_server(
        server.serve, str(socket_path), limit=LINE_LIMIT_BYTES
    )
    await server.quit.wait()
    listener.close()
    await server.close()


def main(arguments: list[str] | None = None) -> int:
    """The console script; exit status 2 and one sentence when the socket cannot be made."""
    parser = argparse.ArgumentParser(prog="unisono-sim-player", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="where to listen, as mpv would")
    parser.add_argument("--rate-error-ppb", type=int, default=0, help="how much too fast it runs")
    parser.add_argument("--noise-us", type=int, default=20, help="noise of its clock, one sigma")
    parser.add_argument("--speed-delay-ms", type=float, default=ns_to_ms(SIM_TRAITS.speed_delay_ns))
    parser.add_argument("--seek-cost-ms", type=float, default=ns_to_ms(SIM_TRAITS.seek_cost_ns))
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    chosen = parser.parse_args(arguments)
    traits = PlayerTraits(
        speed_delay_ns=ms_to_ns(chosen.speed_delay_ms),
        start_lead_ns=SIM_TRAITS.start_lead_ns,
        seek_cost_ns=ms_to_ns(chosen.seek_cost_ms),
        frame_ns=SIM_TRAITS.frame_ns,
    )
    failings = Failings(
        rate_error_ppb=chosen.rate_error_ppb,
        noise_ns=chosen.noise_us * NS_PER_US,
        seed=chosen.seed,
    )
    try:
        os.umask(0o077)  # only this user may steer, as with mpv's socket
        chosen.socket.unlink(missing_ok=True)
        asyncio.run(run(chosen.socket, PlayerModel(traits, failings)))
        chosen.socket.unlink(missing_ok=True)
    except OSError as error:
        print(f"{chosen.socket}: cannot listen there ({error.strerror})", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
