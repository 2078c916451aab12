"""Commands, properties and waits of mpv, on top of the link: the words without the meaning."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unisono.player.ipc import Ask, Command, CommandError, Event, Reply
from unisono.player.protocol import MediaError, PlayerError, PlayerGone

LOAD_TIMEOUT_S = 8.0  # a day's edit list takes 0.2 s to load; slow boards and big films more
STOP_POLL_S = 0.01


class MpvIo:
    """What `MpvPlayer` says to mpv and waits for; raises `PlayerError` and its kind only.

    It speaks through ``ask``; whoever hears mpv's events feeds `pass_on`.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._watchers: list[asyncio.Queue[Event | None]] = []

    def pass_on(self, event: Event | None) -> None:
        """An event of mpv, or None for the loss of the player, to all who wait."""
        for watcher in self._watchers:
            watcher.put_nowait(event)

    async def exchange(self, command: Command) -> Reply:
        """One exchange; `CommandError` when mpv refuses, `PlayerGone`."""
        return await self._ask(command)

    async def command(self, command: Command) -> Reply:
        """One exchange that should succeed; a refusal is a `PlayerError`."""
        try:
            return await self.exchange(command)
        except CommandError as refused:
            word = command["name"] if isinstance(command, dict) else " ".join(map(str, command[:2]))
            raise PlayerError(f"the player refused {word!r}: {refused.reason}") from None

    async def read(self, name: str) -> Any:
        """A property, or None where mpv has none now."""
        try:
            return (await self.exchange(["get_property", name])).data
        except CommandError:
            return None

    async def set(self, name: str, value: Any) -> None:
        """Set a property."""
        await self.command(["set_property", name, value])

    async def title(self) -> str:
        """The media title, where our mark is; "" when nothing is loaded."""
        return str(await self.read("media-title") or "")

    async def start_file(self, name: str, url: str, options: dict[str, str], *, until: str) -> None:
        """Load ``url`` and wait for its event ``until``; MediaError calls it ``name``."""
        # Named arguments: the position of `options` differs between versions of mpv.
        command = {"name": "loadfile", "url": url, "flags": "replace", "options": options}
        with self._watch() as events:
            entry = ((await self.command(command)).data or {}).get("playlist_entry_id")
            started = False

            def arrived(event: Event) -> bool:
                nonlocal started
                mine = event.get("playlist_entry_id") == entry
                if event["event"] == "end-file" and mine:
                    reason = event.get("file_error") or event.get("reason")
                    raise MediaError(f"{name}: the player cannot play it ({reason})")
                started = started or (event["event"] == "start-file" and mine)
                return started and event["event"] == until

            await _until(events, arrived, f"did not show {name}")

    async def seek_and_wait(self, seek: Callable[[], Any]) -> None:
        """Run ``seek`` and wait until its picture is there."""
        with self._watch() as events:
            await seek()
            await _until(events, lambda event: event["event"] == "playback-restart", "did not seek")

    async def stop(self) -> None:
        """Unload and wait until nothing is left: mpv calls itself idle a little before."""
        await self.command(["stop"])
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                while await self.title():  # noqa: ASYNC110
                    await asyncio.sleep(STOP_POLL_S)
        except TimeoutError:
            raise PlayerError(f"the player did not stop within {LOAD_TIMEOUT_S:g} s") from None

    @contextmanager
    def _watch(self) -> Iterator[asyncio.Queue[Event | None]]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            yield queue
        finally:
            self._watchers.remove(queue)


async def _until(
    events: asyncio.Queue[Event | None], wanted: Callable[[Event], bool], failure: str
) -> None:
    """Wait for the event that ``wanted`` accepts; PlayerGone if the player goes meanwhile."""
    try:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            while (event := await events.get()) is not None:
                if wanted(event):
                    return
    except TimeoutError:
        raise PlayerError(f"the player {failure} within {LOAD_TIMEOUT_S:g} s") from None
    raise PlayerGone("the player went away")
