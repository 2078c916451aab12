"""The film of a demo: the one asked for, or a test film that is made once and kept."""

import os
from dataclasses import dataclass
from pathlib import Path

from services.cli.api import playlist_of
from services.cli.demo.options import Options
from unisono.player.protocol import MediaError
from unisono.player.testfilm import make_test_film
from unisono.runtime import UserError

FILM_LINK = "film"
SIMULATED = "sim://film"
TEST_FILM_S = 60
_SIM_FILM_MS = 1000.0 * TEST_FILM_S


@dataclass(frozen=True, slots=True)
class Film:
    """A film and how long it runs; ``path`` is None for one that only simulated players see."""

    path: Path | None
    duration_ms: float

    def link_into(self, run_dir: Path) -> str:
        """Put the film into the run's directory, and say how the devices' players open it."""
        if self.path is None:
            return SIMULATED
        link = run_dir / f"{FILM_LINK}{self.path.suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(self.path)
        return str(link)


def find_film(asked: Options) -> Film:
    """The film asked for, or the test film; UserError when it is none."""
    if asked.media is None and asked.player == "sim":
        return Film(None, _SIM_FILM_MS)
    path = (asked.media or _test_film()).resolve()
    [(_, duration_ms)] = playlist_of([path])
    return Film(path, duration_ms)


def _test_film() -> Path:
    directory = _cache_dir()
    path = directory / f"test-film-{TEST_FILM_S}s.mp4"
    if not path.exists():
        print("making a test film (once)", flush=True)
        # Made under another name first: one that was interrupted is never taken for a film.
        part = directory / f"{os.getpid()}-{path.name}"
        try:
            make_test_film(part, seconds=TEST_FILM_S)
            part.replace(path)
        except MediaError as error:
            raise UserError(str(error)) from None
        finally:
            part.unlink(missing_ok=True)
    return path


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "unisono"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; set XDG_CACHE_HOME, or give --media") from None
    return path
