"""How a playlist becomes one continuous timeline inside mpv: an edit list (EDL), as text.

The whole playlist, repeated for about a day, is one virtual film: a loop, or the change from
film to film, is a cut inside it and not an end of file, so neither picture nor clock stops there
(docs/decisions/0001-how-a-playlist-loops.md has the figures). A position in it is
``loops * length + phase``. Pure text: nothing here talks to mpv.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unisono.core.timeline import Playlist
from unisono.core.units import NS_PER_S
from unisono.player.protocol import fingerprint_of
from unisono.player.silence import BLOCK_NS, MAX_SILENCE_NS, silence_uri

SPAN_NS = 24 * 3600 * NS_PER_S  # the end of the edit list costs one seek: make it rare
# mpv reads a command in time that grows with the square of its length, and answers nothing
# meanwhile: 0.1 s for 250 kB, 8 s for 2 MB. This much is 2,000 loops of one film.
MAX_TEXT_BYTES = 100_000
MARK = "unisono/1"
_PREFIX = "edl://!no_chapters;"
_NEW_STREAM = "!new_stream"

# Film sound that ends a little before its picture would make the clock jump at each loop:
# fill holes above 2 ms with silence, and stretch nothing.
_FILL_HOLES = "aresample=async=1:min_hard_comp=0.002"
# A block passes mpv's speed change as a whole, and the silence comes in blocks of 4 s.
_SMALL_BLOCKS = "asetnsamples=n=256:p=0"


@dataclass(frozen=True, slots=True)
class Cut:
    """What mpv is told to load for one playlist."""

    url: str
    audio_track: int
    audio_filter: str
    mark: str
    length_ns: int
    repeats: int

    @property
    def span_ns(self) -> int:
        """Length of the whole edit list."""
        return self.length_ns * self.repeats


@dataclass(frozen=True, slots=True)
class Source:
    """What lies behind an item's uri: the address that mpv opens, and if it has an audio track."""

    address: str
    has_sound: bool


def cut_of(playlist: Playlist, sources: Mapping[str, Source]) -> Cut:
    """The edit list of ``playlist``; ``sources`` describes each of its uris."""
    items, length_ns = playlist.items, playlist.length_ns
    audible = [sources[item.uri].has_sound for item in items]
    films = [_segment(sources[item.uri].address, item.duration_ns) for item in items]
    if all(audible):
        repeats = _repeats(length_ns, _bytes(films))
        tracks, audio_track, filters = [films * repeats], 1, [_FILL_HOLES]
    elif not any(audible):
        # Silence does not care for loops: it runs through in pieces of full length.
        share = _bytes(_silence(MAX_SILENCE_NS)) * length_ns // MAX_SILENCE_NS
        repeats = _repeats(length_ns, _bytes(films) + share + 1)
        tracks = [films * repeats, _silence(length_ns * repeats)]
        audio_track, filters = 1, [_SMALL_BLOCKS]
    else:
        sound: list[str] = []
        for item, film, heard in zip(items, films, audible, strict=True):
            sound += [film] if heard else _silence(item.duration_ns)
        repeats = _repeats(length_ns, _bytes(films) + _bytes(sound))
        tracks = [films * repeats, sound * repeats]
        # A track list is laid out after its first film: with sound, it brings a track of its own.
        audio_track, filters = (2 if audible[0] else 1), [_FILL_HOLES, _SMALL_BLOCKS]
    return Cut(
        url=_PREFIX + f";{_NEW_STREAM};".join(";".join(track) for track in tracks),
        audio_track=audio_track,
        audio_filter=f"lavfi=[{','.join(filters)}]",
        mark=mark_of(playlist),
        length_ns=length_ns,
        repeats=repeats,
    )


def _repeats(length_ns: int, loop_bytes: int) -> int:
    """How often a loop of ``length_ns`` is repeated if its text takes ``loop_bytes``."""
    return max(1, min(-(-SPAN_NS // length_ns), MAX_TEXT_BYTES // loop_bytes))


def _bytes(segments: list[str]) -> int:
    return sum(len(segment.encode()) + 1 for segment in segments)


def mark_of(playlist: Playlist) -> str:
    """What is written into the player, as its media title, to know the playlist again."""
    return f"{MARK} {playlist.length_ns} {fingerprint_of(playlist)}"


def read_mark(title: str) -> tuple[int, str] | None:
    """Loop length and fingerprint from a media title; None when it is not ours."""
    parts = title.split(" ", 2)
    if len(parts) != 3 or parts[0] != MARK or not parts[1].isdecimal():
        return None
    return int(parts[1]), parts[2]


def span_of_url(url: str) -> int | None:
    """Total length in ns of an edit list made here; None for any other address."""
    if not url.startswith(_PREFIX):
        return None
    first_track = url.removeprefix(_PREFIX).split(f";{_NEW_STREAM};", 1)[0]
    lengths = [part.partition(";")[0] for part in first_track.split(",length=")[1:]]
    return sum(_to_ns(length) for length in lengths)


def seconds_text(value_ns: int) -> str:
    """``value_ns`` in seconds, exact to the ns."""
    return f"{value_ns // NS_PER_S}.{value_ns % NS_PER_S:09d}"


def _to_ns(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * NS_PER_S + int(fraction)


def _segment(uri: str, length_ns: int) -> str:
    # %bytes% quotes the name, whatever characters it holds
    return f"%{len(uri.encode())}%{uri},start=0,length={seconds_text(length_ns)}"


def _silence(length_ns: int) -> list[str]:
    whole, rest_ns = divmod(length_ns, MAX_SILENCE_NS)
    lengths = [MAX_SILENCE_NS] * whole + ([rest_ns] if rest_ns else [])
    return [_segment(silence_uri(-(-each_ns // BLOCK_NS)), each_ns) for each_ns in lengths]


def absolute_ns(phase_ns: int, *, near_ns: int, length_ns: int, repeats: int) -> int:
    """The place in the edit list that shows ``phase_ns`` and is nearest to ``near_ns``."""
    loop = round((near_ns - phase_ns) / length_ns)
    return min(max(loop, 0), repeats - 1) * length_ns + phase_ns
