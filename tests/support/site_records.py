"""Documents of a site with one session, for tests of what keeps them."""

from dataclasses import replace

from unisono.core.session import Member, SessionSpec
from unisono.core.session_state import SessionState
from unisono.core.site_document import SessionRecord
from unisono.core.timeline import MediaItem, Playlist
from unisono.state.records import DriftFigures, HeartbeatReport, RuntimeReport

NOW_MS = 1_780_000_000_000
SITE = "lobby"
REPORT = HeartbeatReport(NOW_MS, "10.0.0.1", 1, 2)
STATUS = RuntimeReport(NOW_MS, "s1", 1, "follower", "lan", "playing", DriftFigures(0))


def record(session_id: str = "s1", revision: int = 7, term: int = 1) -> SessionRecord:
    """A session of the devices a and b."""
    spec = SessionSpec(
        session_id=session_id,
        term=term,
        master_device_id="a",
        members=(Member("a", "10.0.0.1", 1, 2), Member("b", "10.0.0.2", 1, 2)),
        playlist=Playlist((MediaItem("film.mp4", 1_000_000_000),)),
        start_at_ms=NOW_MS,
        secret_hex="00ff",
    )
    return SessionRecord(spec, SessionState.PREPARING, revision, NOW_MS, 15_000, NOW_MS)


def ended(line: SessionRecord) -> SessionRecord:
    """The same as it is kept when it is over."""
    return replace(line, spec=replace(line.spec, secret_hex=""), state=SessionState.ENDED)
