"""Films made to be looked at frame by frame, and the exact length of any film."""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

from unisono.core.units import NS_PER_S
from unisono.player.protocol import MediaError

PROBE_TIMEOUT_S = 20
MAKE_TIMEOUT_S = 600
SAMPLE_RATE_HZ = 48_000
# Any monospaced font does; without one the film keeps the small counter of its test picture.
FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
    "/usr/share/fonts/TTF/DejaVuSansMono.ttf",
    "/usr/share/fonts/dejavu-sans-mono-fonts/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/freefont/FreeMono.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansMono-Regular.ttf",
)


def make_test_film(
    path: Path | str,
    *,
    seconds: float,
    fps: int = 30,
    size: str = "640x360",
    picture: bool = True,
    sound: bool = True,
) -> int:
    """Make a film at ``path``; returns its exact duration in ns.

    A moving test picture with a burnt-in time code and frame number, and a beep at each full
    second. Picture and sound end together on a whole frame, so that a loop has no seam; a key
    frame each second. MediaError when ffmpeg is missing or fails; ``path`` is then untouched.
    """
    target = Path(path)
    frames = max(1, round(seconds * fps))
    length = Fraction(frames, fps)
    length_text = f"{float(length):.9f}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    if picture:
        command += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}{_burn_in(fps)}"]
    if sound:
        beep = f"0.4*sin(2*PI*880*t)*lt(mod(t,1),0.08):s={SAMPLE_RATE_HZ}"
        command += ["-f", "lavfi", "-i", f"aevalsrc={beep}".replace(",", r"\,")]
    command += ["-t", length_text]
    if picture:
        command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]
        command += ["-crf", "26", "-pix_fmt", "yuv420p", "-g", str(fps), "-frames:v", str(frames)]
    if sound:
        command += ["-c:a", "aac", "-b:a", "96k"]
    part = target.with_name(target.name + ".part")
    command += ["-movflags", "+faststart", "-f", "mp4", str(part)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _run(command, MAKE_TIMEOUT_S, f"{target}: the film could not be made")
        part.replace(target)
    except OSError as error:
        raise MediaError(f"{target}: the film could not be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
    return round(length * NS_PER_S)


def probe_duration_ns(path: Path | str) -> int:
    """Exact duration of a film: of its picture where it has one, else of the whole.

    MediaError, one sentence, when the file is not there, is no film, or ffprobe is missing.
    """
    film = Path(path)
    if not film.is_file():
        raise MediaError(f"{film}: no such file")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries"]
    command += ["format=duration:stream=codec_type,time_base,duration_ts", str(film)]
    try:
        found = json.loads(_run(command, PROBE_TIMEOUT_S, f"{film}: not a film"))
    except ValueError:
        raise MediaError(f"{film}: ffprobe said nothing that can be read") from None
    duration = _picture_duration(found.get("streams", [])) or _whole_duration(found)
    if duration <= 0:
        raise MediaError(f"{film}: not a film, it has no duration")
    return round(duration * NS_PER_S)


def _picture_duration(streams: list[dict[str, Any]]) -> Fraction:
    for stream in streams:
        if stream.get("codec_type") == "video" and "duration_ts" in stream:
            return int(stream["duration_ts"]) * Fraction(stream["time_base"])
    return Fraction(0)


def _whole_duration(found: dict[str, Any]) -> Fraction:
    try:
        return Fraction(found.get("format", {}).get("duration", "0"))
    except ValueError:
        return Fraction(0)


def _burn_in(fps: int) -> str:
    font = next((name for name in FONTS if Path(name).is_file()), None)
    if font is None:
        return ""
    code = f"timecode='00\\:00\\:00\\:00':rate={fps}"
    look = "fontcolor=white:fontsize=h/7:box=1:boxcolor=black@0.7:boxborderw=8"
    return f",drawtext=fontfile={font}:{code}:{look}:x=(w-tw)/2:y=h*0.72"


def _run(command: list[str], timeout_s: float, trouble: str) -> str:
    tool = command[0]
    if shutil.which(tool) is None:
        raise MediaError(f"{tool} is not installed: install the package ffmpeg")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise MediaError(f"{trouble}: {tool} took longer than {timeout_s:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise MediaError(f"{trouble} ({lines[-1]})")
    return done.stdout
