"""The table of a session's states: what moves it, what cannot, and the page written from it."""

from itertools import product
from pathlib import Path

import pytest

from unisono.core.session_state import (
    FAIL_AFTER_MS,
    RUNNING,
    STOP_GRACE_MS,
    TRANSITIONS,
    Progress,
    SessionEvent,
    SessionState,
    after,
    mermaid,
    page,
    state_at,
)

START_MS = 1_000_000
ROOT = Path(__file__).parents[2]

LEGAL = {
    ("preparing", "all_ready", "warmup"),
    ("preparing", "start_due", "playing"),
    ("preparing", "reissued", "preparing"),
    ("preparing", "all_refused", "failed"),
    ("preparing", "stop", "stopping"),
    ("warmup", "start_due", "playing"),
    ("warmup", "reissued", "preparing"),
    ("warmup", "stop", "stopping"),
    ("playing", "reissued", "playing"),
    ("playing", "all_refused", "failed"),
    ("playing", "nobody_came", "failed"),
    ("playing", "stop", "stopping"),
    ("stopping", "all_stopped", "ended"),
    ("stopping", "grace_over", "ended"),
}


@pytest.mark.parametrize(("state", "event"), list(product(SessionState, SessionEvent)))
def test_only_the_legal_moves_are_possible(state: SessionState, event: SessionEvent) -> None:
    targets = [t for s, e, t in LEGAL if (s, e) == (state.value, event.value)]
    if targets:
        assert [after(state, event).value] == targets
    else:
        with pytest.raises(ValueError, match=f"{state.value} has no way to go at {event.value}"):
            after(state, event)


def test_every_state_is_reached_and_every_session_can_end() -> None:
    assert {SessionState.PREPARING, *TRANSITIONS.values()} == set(SessionState)
    lasting = {s for s in SessionState if all(source is not s for source, _ in TRANSITIONS)}
    assert lasting == {SessionState.ENDED, SessionState.FAILED}
    assert all((state, SessionEvent.STOP) in TRANSITIONS for state in RUNNING)


@pytest.mark.parametrize(
    ("state", "progress", "now_ms", "expected"),
    [
        ("preparing", Progress(), START_MS - 1, "preparing"),
        ("preparing", Progress(done=1, ever_done=1), START_MS - 1, "preparing"),
        ("preparing", Progress(done=2, ever_done=2), START_MS - 1, "warmup"),
        ("preparing", Progress(done=2, ever_done=2), START_MS, "playing"),
        ("preparing", Progress(), START_MS, "playing"),
        ("preparing", Progress(done=1, failed=1, ever_done=1), START_MS - 1, "preparing"),
        ("preparing", Progress(failed=2), START_MS - 1, "failed"),
        # Some hold an older revision: the session goes on with that.
        ("preparing", Progress(failed=2, ever_done=2), START_MS - 1, "preparing"),
        ("warmup", Progress(), START_MS - 1, "warmup"),
        ("warmup", Progress(), START_MS, "playing"),
        ("playing", Progress(failed=2), START_MS, "failed"),
        ("playing", Progress(failed=1), START_MS + FAIL_AFTER_MS - 1, "playing"),
        ("preparing", Progress(), START_MS + FAIL_AFTER_MS, "failed"),
        ("preparing", Progress(ever_done=1), START_MS + FAIL_AFTER_MS, "playing"),
        ("stopping", Progress(done=1), START_MS + STOP_GRACE_MS - 1, "stopping"),
        ("stopping", Progress(done=1, failed=1), START_MS, "ended"),
        ("stopping", Progress(), START_MS + STOP_GRACE_MS, "ended"),
        ("ended", Progress(), START_MS + 10**9, "ended"),
        ("failed", Progress(done=2), START_MS + 10**9, "failed"),
    ],
)
def test_the_state_is_computed_from_the_clock_and_the_answers(
    state: str, progress: Progress, now_ms: int, expected: str
) -> None:
    found = state_at(
        SessionState(state),
        start_at_ms=START_MS,
        fail_at_ms=START_MS + FAIL_AFTER_MS,
        stopping_ms=START_MS if state == "stopping" else None,
        members=2,
        progress=progress,
        now_ms=now_ms,
    )
    assert found.value == expected


def test_the_page_of_the_docs_is_written_from_the_table() -> None:
    written = (ROOT / "docs" / "session-states.md").read_text(encoding="utf-8")
    assert written == page()
    assert mermaid() in written


def test_the_diagram_and_the_table_for_readers_name_every_move() -> None:
    text, diagram = page(), mermaid()
    for source, event, target in LEGAL:
        if source != target:
            assert any(
                f"{source} --> {target}: " in line and event in line.split(": ")[1].split(", ")
                for line in diagram.splitlines()
            )
            assert f"``{event}``" in text
