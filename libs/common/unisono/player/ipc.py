"""mpv's JSON IPC over a unix socket: requests with time stamps, events, endless reconnecting.

One line of JSON each way. Replies are stamped with this device's monotonic clock right before
the request is written and in the very callback that reads the reply, so that a position can be
laid in the middle of its exchange. Whatever the player does, from dying to freezing to talking
nonsense, ends in one `PlayerEvent` with a kind and a sentence, never in an exception elsewhere.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unisono.clock import own_ns
from unisono.core.units import OwnNs
from unisono.player.protocol import EventKind, PlayerEvent, PlayerGone

REPLY_TIMEOUT_S = 2.0  # mpv answers in 0.2 ms; opening a decoder on a small board may take a second
CONNECT_TIMEOUT_S = 2.0
BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 1.0
MAX_LINE_BYTES = 16 << 20  # no reply that we ask for comes near; beyond it, the peer is not mpv

log = logging.getLogger(__name__)
Event = dict[str, Any]
Command = list[Any] | dict[str, Any]


class CommandError(Exception):
    """The player answered with an error; ``reason`` is mpv's own word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and the own-clock instants right before the request and at its receipt."""

    data: Any
    sent_ns: OwnNs
    received_ns: OwnNs

    @property
    def middle_ns(self) -> OwnNs:
        """The best guess of when the player read the value."""
        return OwnNs((self.sent_ns + self.received_ns) // 2)

    @property
    def half_trip_ns(self) -> int:
        """The largest error of `middle_ns`."""
        return (self.received_ns - self.sent_ns) // 2


class Connection(asyncio.Protocol):
    """One connection; lives from connect to loss. ``lost`` is done, with the event, at its end."""

    def __init__(self, on_event: Callable[[Event, OwnNs], None]) -> None:
        self._on_event = on_event
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._last_id = 0
        self._waiting: dict[int, tuple[OwnNs, asyncio.Future[Reply]]] = {}
        self.lost: asyncio.Future[PlayerEvent] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - told by asyncio's contract
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Split into lines, stamp, hand on."""
        received_ns = own_ns()
        self._rest += data
        if b"\n" not in data:
            if len(self._rest) > MAX_LINE_BYTES:
                self._end(EventKind.DISCONNECTED, "the player sent a line without end")
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if line:
                self._take(line, received_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        """The player died or closed its socket."""
        self._end(
            EventKind.DISCONNECTED, "the player closed its socket" if exc is None else str(exc)
        )

    async def request(self, command: Command, timeout_s: float) -> Reply:
        """Send one command and wait for its reply; `CommandError`, `PlayerGone`."""
        if self._transport is None or self.lost.done():
            raise PlayerGone("the player is not connected")
        self._last_id += 1
        number = self._last_id
        line = json.dumps({"command": command, "request_id": number}).encode() + b"\n"
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        sent_ns = own_ns()
        self._waiting[number] = (sent_ns, future)
        self._transport.write(line)
        timer = asyncio.get_running_loop().call_later(timeout_s, self._time_out, timeout_s)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(number, None)

    def close(self, detail: str = "closed by this side") -> None:
        """Drop the connection; whoever waits for a reply gets `PlayerGone`."""
        self._end(EventKind.DISCONNECTED, detail)

    def _time_out(self, timeout_s: float) -> None:
        self._end(EventKind.HUNG, f"the player did not answer within {timeout_s:g} s")

    def _end(self, kind: EventKind, detail: str) -> None:
        if not self.lost.done():
            self.lost.set_result(PlayerEvent(kind, detail))
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(PlayerGone(detail))

    def _take(self, line: bytes, received_ns: OwnNs) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            log.debug("the player sent a line that is not JSON: %.80r", line)
            return
        if not isinstance(message, dict):
            return
        if "event" in message:
            self._on_event(message, received_ns)
            return
        sent_ns, future = self._waiting.get(message.get("request_id", 0), (OwnNs(0), None))
        if future is None or future.done():
            return
        if message.get("error") == "success":
            future.set_result(Reply(message.get("data"), sent_ns, received_ns))
        else:
            future.set_exception(CommandError(str(message.get("error"))))


Ask = Callable[[Command], Awaitable[Reply]]


class Link:
    """Keeps one `Connection` to ``socket_path`` alive until `close`.

    ``greet`` runs on each new connection before it counts as up, and is handed the only way to
    ask before that: a player that is not known yet must be neither read nor steered. ``on_up``
    and ``on_lost`` tell of changes, ``on_event`` passes mpv's events on.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        greet: Callable[[Ask], Awaitable[None]],
        on_up: Callable[[], None],
        on_lost: Callable[[PlayerEvent], None],
        on_event: Callable[[Event, OwnNs], None],
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._path = socket_path
        self._greet, self._on_up, self._on_lost = greet, on_up, on_lost
        self._on_event = on_event
        self._timeout_s = reply_timeout_s
        self._connection: Connection | None = None
        self._up = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Disconnect and stop trying."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @property
    def up(self) -> bool:
        """Connected and greeted."""
        return self._up

    async def request(self, command: Command) -> Reply:
        """One exchange with a greeted player; `CommandError`, `PlayerGone`."""
        if self._connection is None or not self._up:
            raise PlayerGone(f"no player answers at {self._path}")
        return await self._connection.request(command, self._timeout_s)

    async def _keep(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            if await self._live_once():
                backoff_s = BACKOFF_MIN_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _live_once(self) -> bool:
        """Connect, greet, live until the loss; True if it was ever up."""
        loop = asyncio.get_running_loop()
        connection = Connection(self._on_event)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_unix_connection(lambda: connection, str(self._path))
        except (OSError, TimeoutError):
            return False
        self._connection = connection
        was_up = False
        try:
            with contextlib.suppress(PlayerGone, CommandError):
                await self._greet(lambda command: connection.request(command, self._timeout_s))
                self._up = was_up = True
                self._on_up()
            if not was_up:
                connection.close("the player did not answer the greeting")
            lost = await connection.lost
        finally:
            self._up, self._connection = False, None
            connection.close()
        if was_up:
            self._on_lost(lost)
        return was_up
