"""Sites, devices and sessions for tests of the control plane's decisions."""

from dataclasses import replace

from unisono.core import control_session
from unisono.core.session import Member
from unisono.core.site_document import KnownDevice, NewSession, SiteDocument
from unisono.core.timeline import MediaItem, Playlist

NOW_MS = 1_780_000_000_000
LEASE_MS = 15_000
FILM = Playlist((MediaItem("film.mp4", 10_000_000_000),))


def known(*names: str, seen_ms: int | None = NOW_MS) -> dict[str, KnownDevice]:
    return {n: KnownDevice(n, Member(n, "10.0.0.1", 7600, 7601), seen_ms) for n in names}


def asked(*names: str, session_id: str = "s-1", **changes: object) -> NewSession:
    new = NewSession(session_id, "00ff", names, FILM, start_delay_ms=5000, lease_ms=LEASE_MS)
    return replace(new, **changes)  # type: ignore[arg-type]


def playing(*names: str) -> SiteDocument:
    return control_session.create(SiteDocument(), asked(*names), known(*names), now_ms=NOW_MS).site
