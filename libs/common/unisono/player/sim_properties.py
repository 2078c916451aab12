"""What mpv would say of each of its properties, read from a `PlayerModel`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unisono.core.playerstate import PlayerState
from unisono.core.units import NS_PER_S
from unisono.player.model import PlayerModel

FPS = 30.0
TRACKS = [{"type": "video", "id": 1}, {"type": "audio", "id": 1}]


class SimProperties:
    """The readable properties; ``url`` and ``title`` are set by whoever loads something."""

    def __init__(self, model: PlayerModel) -> None:
        self.url = ""
        self.title = ""
        self._model = model
        self._always: dict[str, Callable[[int], Any]] = {
            "pause": lambda _: model.paused,
            "speed": lambda _: model.speed,
            "idle-active": lambda now_ns: model.state(now_ns) is PlayerState.IDLE,
            "pid": lambda _: os.getpid(),
            "mpv-version": lambda _: "unisono-sim-player",
        }
        self._while_loaded: dict[str, Callable[[int], Any]] = {
            "seeking": lambda now_ns: model.state(now_ns) is PlayerState.SEEKING,
            "audio-pts": lambda now_ns: _seconds(model.read_ns(now_ns)),
            "time-pos": self._time_pos,
            "playback-time": self._time_pos,
            "media-title": lambda _: self.title or Path(self.url).name,
            "path": lambda _: self.url,
            "duration": lambda _: _seconds(model.span_ns),
            "container-fps": lambda _: FPS,
            "vid": lambda _: 1,
            "aid": lambda _: 1,
            "track-list": lambda _: TRACKS,
        }

    def read(self, name: str, now_ns: int) -> Any:
        """The value, or None for a property that is unknown or unavailable now."""
        if name in self._always:
            return self._always[name](now_ns)
        if self._model.span_ns is None or name not in self._while_loaded:
            return None
        return self._while_loaded[name](now_ns)

    def _time_pos(self, now_ns: int) -> float | None:
        """mpv shows a frame's time as soon as it queues it: the running position, rounded up."""
        position_ns = self._model.position_ns(now_ns)
        if position_ns is None or self._model.paused:
            return _seconds(position_ns)
        return -(-position_ns // self._model.traits.frame_ns) / FPS


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_S
