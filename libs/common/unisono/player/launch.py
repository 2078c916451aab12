"""The command line of an mpv that is fit to be steered to the frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Sound that waits in the buffer plays at the old speed: speed changes take effect after 0.03 s
# with a buffer of 0.02 s, 0.17 s with 0.1 s, 0.39 s with mpv's own 0.2 s. But a machine that
# stalls for longer than the buffer loses the difference for good, on every screen by another
# amount: two virtual cores were seen to stall for 50 ms. The delay is constant (within 10 ms), so
# the corrector can reckon with it; a lost position it can only mend.
BUFFER_S = 0.1
NULL_OUTBURST_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Window:
    """A borderless window of fixed place and size, pixels from the top left of the desktop."""

    x: int
    y: int
    width: int
    height: int
    title: str = "unisono"


def mpv_command(
    socket_path: Path | str,
    *,
    window: Window | None = None,
    fullscreen: bool = False,
    sound: bool = False,
    mute: bool = False,
    log_file: Path | str | None = None,
    executable: str = "mpv",
    extra: Sequence[str] = (),
) -> list[str]:
    """The argument list of an idle mpv with its IPC socket at ``socket_path``.

    Without ``window`` and ``fullscreen`` it decodes and times everything but draws nothing.
    ``sound`` plays through the machine's sound card, else through mpv's timed null device: the
    clock exists either way. ``mute`` silences without giving up the clock.

    What the settings are for:

    * ``--no-config --load-scripts=no --ytdl=no --osc=no``: the same player on every machine;
    * ``--idle=yes --force-window``: one process for all films, its window never goes;
    * ``--keep-open=no --loop-file=no``: how a playlist loops is decided when it is loaded;
    * ``--video-sync=audio``: the picture follows the sound's clock, which is the one we steer
      (``display-resample`` would be a second controller and change the speed itself);
    * ``--audio-pitch-correction=no``: speed by resampling; the stretching filter would add delay
      and click at each return to 1.0, and 1 % of pitch is hardly heard;
    * ``--hr-seek=yes --hr-seek-framedrop=yes``: seeks land on the frame asked for, fast;
    * ``--audio-format/-samplerate/-channels`` fixed: a film of another sound format does not
      reopen the device (48 ms of halt at each such cut otherwise);
    * ``--gapless-audio=yes``: the device stays open from load to load;
    * ``--audio-buffer`` and ``--ao-null-buffer``: see ``BUFFER_S``;
    * ``--cache=no --demuxer-readahead-secs``: local files need no cache, a cut needs some lead;
    * ``--framedrop=vo``: a late frame is dropped at the screen, the clock goes on;
    * no terminal, no keys, no mouse, no OSD, no screen saver: nobody steers but the socket.
    """
    command = [
        executable,
        "--no-config",
        "--no-terminal",
        "--load-scripts=no",
        "--ytdl=no",
        "--osc=no",
        "--idle=yes",
        "--keep-open=no",
        "--loop-file=no",
        "--loop-playlist=no",
        "--save-position-on-quit=no",
        "--resume-playback=no",
        f"--input-ipc-server={socket_path}",
        "--input-default-bindings=no",
        "--input-vo-keyboard=no",
        "--input-cursor=no",
        "--cursor-autohide=always",
        "--osd-level=0",
        "--sub-auto=no",
        "--sid=no",
        "--audio-file-auto=no",
        "--cover-art-auto=no",
        "--stop-screensaver=yes",
        "--video-sync=audio",
        "--framedrop=vo",
        "--hr-seek=yes",
        "--hr-seek-framedrop=yes",
        "--cache=no",
        "--demuxer-readahead-secs=2",
        "--demuxer-max-bytes=32MiB",
        "--demuxer-max-back-bytes=8MiB",
    ]
    command += _sound(sound=sound, mute=mute)
    command += _picture(window, fullscreen=fullscreen)
    if log_file is not None:
        command.append(f"--log-file={log_file}")
    return [*command, *extra]


def _sound(*, sound: bool, mute: bool) -> list[str]:
    return [
        "--ao=pipewire,pulse,alsa,null" if sound else "--ao=null",
        f"--audio-buffer={BUFFER_S}",
        f"--ao-null-buffer={BUFFER_S}",
        f"--ao-null-outburst={NULL_OUTBURST_SAMPLES}",
        "--audio-format=s16",
        "--audio-samplerate=48000",
        "--audio-channels=stereo",
        "--audio-pitch-correction=no",
        "--gapless-audio=yes",
        f"--mute={'yes' if mute else 'no'}",
    ]


def _picture(window: Window | None, *, fullscreen: bool) -> list[str]:
    if fullscreen:
        return ["--force-window=yes", "--fullscreen=yes", "--border=no", "--title=unisono"]
    if window is None:
        return ["--vo=null", "--force-window=no"]
    return [
        "--force-window=yes",
        "--border=no",
        "--ontop=yes",
        "--keepaspect-window=no",
        "--geometry=" + f"{window.width}x{window.height}+{window.x}+{window.y}",
        f"--title={window.title}",
    ]
