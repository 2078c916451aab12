"""An mpv's playback clock, read over its own IPC socket and dated by the host's clock.

Written for itself on purpose: a measurement that shared the product's player code would share
its mistakes.
"""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# An mpv that does not answer within this is not there, as far as a measurement goes.
ANSWER_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """Position ``position_s`` of a player at ``at_ns`` of the host's CLOCK_MONOTONIC.

    ``rate`` is the media time that passes in a second (0 while paused); ``round_trip_ns`` bounds
    the dating twice over; ``exact`` is False when only the frame clock could be read.
    """

    at_ns: int
    round_trip_ns: int
    position_s: float
    rate: float
    exact: bool

    def position_at_s(self, at_ns: int) -> float:
        """The position carried over to another instant nearby."""
        return self.position_s + (at_ns - self.at_ns) / 1e9 * self.rate


class MpvClock:
    """One connection to one player; it connects again by itself when the player does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._pending = b""
        self._request = 0

    def close(self) -> None:
        """Hang up; the player goes on."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._pending = b""

    def read(self) -> Reading | None:
        """The clock now; None when the player is away, silent or plays nothing."""
        try:
            return self._read("audio-pts", exact=True) or self._read("time-pos", exact=False)
        except (OSError, ValueError):
            self.close()
            return None

    def get(self, name: str) -> Any:
        """Any property of the player; None when it has no value now. OSError when it is away."""
        return self._answers(name)[0][1]

    def _read(self, clock: str, *, exact: bool) -> Reading | None:
        asked_ns = time.monotonic_ns()
        (got_ns, position_s), (_, speed), (_, paused) = self._answers(clock, "speed", "pause")
        if not isinstance(position_s, (int, float)) or not isinstance(speed, (int, float)):
            return None
        return Reading(
            at_ns=(asked_ns + got_ns) // 2,
            round_trip_ns=got_ns - asked_ns,
            position_s=float(position_s),
            rate=0.0 if paused else float(speed),
            exact=exact,
        )

    def _answers(self, *names: str) -> list[tuple[int, Any]]:
        """The properties' values, each with the instant at which its answer came.

        They are asked in one write, the clock first, so that the others do not delay it.
        """
        link = self._connected()
        first = self._request + 1
        self._request += len(names)
        lines = (
            json.dumps({"command": ["get_property", name], "request_id": first + index})
            for index, name in enumerate(names)
        )
        link.sendall("".join(f"{line}\n" for line in lines).encode())
        found: list[tuple[int, Any]] = []
        while len(found) < len(names):
            answer, at_ns = self._line(link)
            if answer.get("request_id") == first + len(found) and "error" in answer:
                found.append((at_ns, answer.get("data")))
        return found

    def _connected(self) -> socket.socket:
        if self._socket is None:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.settimeout(ANSWER_TIMEOUT_S)
            try:
                link.connect(str(self.path))
            except OSError:
                link.close()
                raise
            self._socket = link
        return self._socket

    def _line(self, link: socket.socket) -> tuple[dict[str, Any], int]:
        while b"\n" not in self._pending:
            more = link.recv(65536)
            if not more:
                raise ConnectionResetError("the player hung up")
            self._pending += more
            self._came_ns = time.monotonic_ns()
        line, _, self._pending = self._pending.partition(b"\n")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("that is no mpv")
        return answer, self._came_ns
