"""mpv as a `Player`: one long edit list, an exact clock, and a mark to know it again.

The clock is ``audio-pts``, good to 0.03 ms; ``time-pos`` moves in whole frames and serves only
while mpv is cued, or where no sound can be played at all (then its changes are extrapolated).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from unisono.core.playerstate import PlayerSample, PlayerState, PlayerTraits
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import NS_PER_MS, NS_PER_S, NS_PER_US, OwnNs
from unisono.player.edl import Cut, absolute_ns, cut_of, mark_of, read_mark, seconds_text
from unisono.player.ipc import REPLY_TIMEOUT_S, Ask, CommandError, Event, Link
from unisono.player.media import Sources
from unisono.player.mpvio import MpvIo
from unisono.player.protocol import (
    EventKind,
    PlayerError,
    PlayerEvent,
    PlayerGone,
    fingerprint_of,
)
from unisono.player.seen import OBSERVED, SeekCost, Seen

# Measured with the settings of `launch.mpv_command`; the seek cost is learnt from there on.
MPV_TRAITS = PlayerTraits(
    speed_delay_ns=172 * NS_PER_MS,
    start_lead_ns=-400
    * NS_PER_US,  # it starts 0.2 ms after the command, less than a reading scatters
    seek_cost_ns=15 * NS_PER_MS,
    frame_ns=NS_PER_S // 30,
)
AUDIO_ERROR_NS = 50 * NS_PER_US
EDGE_ERROR_NS = 5 * NS_PER_MS
SEEK_PATIENCE_NS = NS_PER_S // 2  # ten times what a seek takes
SHORT_FILM_NS = 100 * NS_PER_MS  # the last picture may stand this long without a word in the log

log = logging.getLogger(__name__)


class MpvPlayer:
    """One mpv behind its JSON IPC socket; implements `unisono.player.protocol.Player`.

    ``media_dir`` is where relative uris start from; ``traits`` replaces the measured defaults.
    """

    def __init__(
        self,
        socket_path: Path | str,
        *,
        media_dir: Path | str = "",
        traits: PlayerTraits = MPV_TRAITS,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._traits = traits
        self._seen = Seen()
        self._seek_cost = SeekCost(traits.seek_cost_ns)
        self._sources = Sources(Path(media_dir))
        self._events: asyncio.Queue[PlayerEvent | None] = asyncio.Queue()
        self._edges_wanted = False
        self._link = Link(
            Path(socket_path),
            greet=self._greet,
            on_up=lambda: self._tell(EventKind.CONNECTED),
            on_lost=self._on_lost,
            on_event=self._on_event,
            reply_timeout_s=reply_timeout_s,
        )
        self._io = MpvIo(self._link.request)

    async def open(self) -> None:
        """Start connecting in the background."""
        while not self._events.empty():  # left over from before the last `close`
            self._events.get_nowait()
        self._link.start()

    async def close(self) -> None:
        """Disconnect; mpv plays on."""
        await self._link.close()
        self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[PlayerEvent]:
        """Events since `open`; one consumer."""
        while (event := await self._events.get()) is not None:
            yield event

    def traits(self) -> PlayerTraits:
        """The defaults, with the seek cost learnt and the loaded film's frame."""
        return replace(
            self._traits,
            seek_cost_ns=self._seek_cost.cost_ns,
            frame_ns=self._seen.frame_ns or self._traits.frame_ns,
        )

    async def load(self, playlist: Playlist, phase_ns: int = 0) -> None:
        """Load, paused, the frame at ``phase_ns`` on screen; take over what is there already."""
        phase_ns %= playlist.length_ns
        self._require_up()
        self._sources.require(playlist)
        if await self._io.title() == mark_of(playlist):
            await self._adopt(self._io, playlist.length_ns)
            self._seen.holds = fingerprint_of(playlist)
            if self._seen.paused:
                await self._io.seek_and_wait(lambda: self.seek(phase_ns))
            return
        self._seen.forget_media()
        self._seek_cost.forget()
        self._seen.loading = True
        try:
            await self._io.set("pause", True)
            await self._io.set("speed", 1.0)
            for item in playlist.items:
                if not self._sources.known(item.uri):
                    await self._probe(item)
            await self._load_cut(cut_of(playlist, self._sources.table()), phase_ns)
            self._seen.holds = fingerprint_of(playlist)
        finally:
            self._seen.loading = False

    @property
    def holds(self) -> str:
        """Fingerprint of what is loaded, as its mark said; "" while not connected."""
        return self._seen.holds if self._link.up else ""

    @property
    def version(self) -> str:
        """As mpv says it: "mpv 0.40.0"; "" while not connected."""
        return self._seen.version if self._link.up else ""

    async def play(self) -> None:
        """Unpause: the clock starts at once, from exactly the cued frame."""
        self._seek_cost.forget()
        await self._io.set("pause", False)
        self._seen.paused = self._seen.fresh = False

    async def pause(self) -> None:
        """Pause now."""
        self._seek_cost.forget()
        await self._io.set("pause", True)
        self._seen.paused = True

    async def stop(self) -> None:
        """Unload."""
        self._seek_cost.forget()
        await self._io.stop()
        self._seen.forget_media()
        self._seen.idle = True

    async def set_speed(self, speed: float) -> None:
        """Set the speed; 1.0 is normal."""
        await self._io.set("speed", speed)
        self._seen.speed = speed

    async def seek(self, phase_ns: int) -> None:
        """Exact seek, to the nearest place of the edit list that shows ``phase_ns``."""
        seen = self._seen
        if seen.length_ns is None:
            raise PlayerError("nothing is loaded: load a playlist before seeking")
        phase_ns %= seen.length_ns
        target_ns = absolute_ns(
            phase_ns, near_ns=seen.last_ns, length_ns=seen.length_ns, repeats=seen.repeats
        )
        seen.seek_asked, seen.edge = True, None
        command = ["seek", target_ns / NS_PER_S, "absolute+exact"]
        try:
            reply = await self._io.command(command)
        except PlayerError:
            seen.seek_asked = False
            raise
        seen.cue_ns, seen.last_ns, seen.asked_own_ns = target_ns, target_ns, reply.sent_ns
        if seen.paused:
            self._seek_cost.forget()
        else:
            self._seek_cost.asked(reply.sent_ns, target_ns)

    async def sample(self) -> PlayerSample:
        """One exchange: the audio clock. A second one, ``time-pos``, while cued."""
        try:
            reply = await self._io.exchange(["get_property", "audio-pts"])
            position_ns = _to_ns(reply.data)
        except CommandError:
            reply = await self._io.command(["get_property", "pause"])
            position_ns = None
        seen, at_ns = self._seen, reply.middle_ns
        state, speed, error_ns = seen.state, seen.speed, AUDIO_ERROR_NS
        match state:
            case PlayerState.CUED if seen.fresh or position_ns is None:
                position_ns = await self._cued_position()
            case PlayerState.PLAYING if position_ns is None:
                position_ns, error_ns = await self._edge_position(at_ns), EDGE_ERROR_NS
            case PlayerState.PLAYING if position_ns is not None:
                self._seek_cost.running(at_ns, position_ns, speed)
                await self._want_edges(False)
            case PlayerState.SEEKING:
                position_ns = None
                await self._mend_seeking(at_ns)
        if position_ns is None or seen.length_ns is None:
            return PlayerSample(at_ns, state, None, speed, reply.half_trip_ns)
        seen.last_ns = position_ns
        return PlayerSample(
            at_own_ns=at_ns,
            state=state,
            phase_ns=position_ns % seen.length_ns,
            speed=speed,
            uncertainty_ns=reply.half_trip_ns + error_ns,
        )

    # -- positions ---------------------------------------------------------------------------

    async def _cued_position(self) -> int | None:
        seen = self._seen
        if not seen.has_picture and seen.cue_ns is not None:
            return seen.cue_ns
        return _to_ns(await self._io.read("time-pos"))

    async def _edge_position(self, at_ns: OwnNs) -> int | None:
        """No sound can be played: extrapolate from the newest change of ``time-pos``."""
        await self._want_edges(True)
        if self._seen.edge is None:
            return None
        edge_ns, position_ns = self._seen.edge
        return position_ns + round((at_ns - edge_ns) * self._seen.speed)

    async def _want_edges(self, wanted: bool) -> None:
        if wanted == self._edges_wanted:
            return
        self._edges_wanted = wanted
        number = len(OBSERVED) + 1
        if wanted:
            await self._io.command(["observe_property", number, "time-pos"])
        else:
            await self._io.command(["unobserve_property", number])
            self._seen.edge = None

    async def _mend_seeking(self, at_ns: OwnNs) -> None:
        """A seek that mpv swallowed never ends by an event: after a while, ask."""
        seen = self._seen
        asked_ago_ns = at_ns - seen.asked_own_ns
        if (
            not seen.loading
            and asked_ago_ns > SEEK_PATIENCE_NS
            and await self._io.read("seeking") is False
        ):
            seen.seek_asked = seen.restarting = False

    # -- loading -----------------------------------------------------------------------------

    async def _probe(self, item: MediaItem) -> None:
        """Let mpv itself open the film: can it, and is there a sound track?"""
        address = self._sources.address(item.uri)
        await self._io.start_file(item.uri, address, {}, until="file-loaded")
        tracks = await self._io.read("track-list") or []
        kinds = {track.get("type") for track in tracks if not track.get("albumart")}
        self._sources.learn(item.uri, has_sound="audio" in kinds)
        film_ns = _to_ns(await self._io.read("duration"))
        if film_ns and film_ns + SHORT_FILM_NS < item.duration_ns:
            missing_s = (item.duration_ns - film_ns) / NS_PER_S
            log.warning("%s: %.1f s shorter than its playlist says", item.uri, missing_s)

    async def _load_cut(self, cut: Cut, phase_ns: int) -> None:
        options = {
            "start": seconds_text(phase_ns),
            "force-media-title": cut.mark,
            "aid": str(cut.audio_track),
            "af": cut.audio_filter,
            "hr-seek": "yes",
            "keep-open": "no",
            "loop-file": "inf",  # the edit list ends after about a day: begin it again
        }
        await self._io.start_file("the playlist", cut.url, options, until="playback-restart")
        await self._adopt(self._io, cut.length_ns)
        self._seen.cue_ns = self._seen.last_ns = phase_ns
        self._seen.fresh = True

    async def _adopt(self, io: MpvIo, length_ns: int) -> None:
        """Learn what is loaded: the edit list's length, the frame rate, if there is a picture."""
        seen = self._seen
        seen.length_ns, seen.idle = length_ns, False
        span_ns = _to_ns(await io.read("duration")) or length_ns
        seen.repeats = max(1, round(span_ns / length_ns))
        frames_per_s = await io.read("container-fps")
        seen.has_picture = await io.read("vid") not in (None, False, "no")
        seen.frame_ns = round(NS_PER_S / frames_per_s) if frames_per_s else 0

    # -- the link ----------------------------------------------------------------------------

    async def _greet(self, ask: Ask) -> None:
        """Read everything once, then let mpv report changes."""
        io = MpvIo(ask)
        seen = self._seen = Seen()
        self._edges_wanted = False
        self._seek_cost.forget()
        now_ns = OwnNs(0)  # none of these is a position
        for number, name in enumerate(OBSERVED, start=1):
            seen.take_property(name, await io.read(name), now_ns)
            await io.exchange(["observe_property", number, name])
        seen.version = str(await io.read("mpv-version") or "")
        mark = read_mark(await io.title())
        if mark is not None:
            length_ns, seen.holds = mark
            await self._adopt(io, length_ns)
            seen.restarting = bool(await io.read("seeking"))
            seen.fresh = seen.paused

    def _on_event(self, event: Event, at_ns: OwnNs) -> None:
        self._seen.take_event(event, at_ns)
        self._io.pass_on(event)
        if event["event"] == "end-file" and not self._seen.loading:
            reason = event.get("reason")
            if reason == "error":
                self._tell(EventKind.MEDIA_FAILED, str(event.get("file_error", "unknown")))
            elif reason == "eof":
                self._tell(EventKind.ENDED, "the player came to the end of its playlist")

    def _on_lost(self, event: PlayerEvent) -> None:
        self._seen = Seen()
        self._io.pass_on(None)
        self._events.put_nowait(event)

    def _tell(self, kind: EventKind, detail: str = "") -> None:
        self._events.put_nowait(PlayerEvent(kind, detail))

    def _require_up(self) -> None:
        if not self._link.up:
            raise PlayerGone("no player is connected")


def _to_ns(seconds: Any) -> int | None:
    return round(seconds * NS_PER_S) if isinstance(seconds, int | float) else None
