"""The life of a session, as one table.

=========  =========  ==========================================================================
from       to         when
=========  =========  ==========================================================================
preparing  warmup     every member has obeyed its PREPARE (``all_ready``)
preparing  playing    the start is there (``start_due``)
warmup     playing    the start is there (``start_due``)
warmup     preparing  the members are told anew: another master, flags, places (``reissued``)
preparing  failed     every member has refused, and none has ever obeyed (``all_refused``)
playing    failed     the same, or all had the time to and none has ever obeyed (``nobody_came``)
running    stopping   an operator stops it, or another session takes its place (``stop``)
stopping   ended      every member told to stop has answered (``all_stopped``)
stopping   ended      long enough was waited for the members (``grace_over``)
=========  =========  ==========================================================================

*running* is preparing, warmup or playing; told anew, a session that prepares or plays goes on
with that. Devices have had the time when 15 s, or twice the session's lease if that is longer, have
passed since the start, or since the lead moved or somebody called again after a silence of all;
and never while nobody calls. What a clock or an acknowledgement brings about is computed whenever
the session is read: nobody has to be there to write it at that instant, and who writes the
document next writes it down.
"""

from dataclasses import dataclass
from enum import StrEnum

# A member that has not answered its STOP by then is away; it is told again when it comes back.
STOP_GRACE_MS = 10_000
# A start that none took up by then will not be taken up. Devices that call more rarely than usual
# get longer: two of the session's leases, which are six heartbeats.
FAIL_AFTER_MS = 15_000


class SessionState(StrEnum):
    """Where a session is in its life."""

    PREPARING = "preparing"
    WARMUP = "warmup"
    PLAYING = "playing"
    STOPPING = "stopping"
    ENDED = "ended"
    FAILED = "failed"


class SessionEvent(StrEnum):
    """What moves a session from state to state."""

    ALL_READY = "all_ready"
    START_DUE = "start_due"
    REISSUED = "reissued"
    ALL_REFUSED = "all_refused"
    NOBODY_CAME = "nobody_came"
    STOP = "stop"
    ALL_STOPPED = "all_stopped"
    GRACE_OVER = "grace_over"


RUNNING = (SessionState.PREPARING, SessionState.WARMUP, SessionState.PLAYING)

# The whole state machine; a pair that is absent is an illegal move.
TRANSITIONS: dict[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.PREPARING, SessionEvent.ALL_READY): SessionState.WARMUP,
    (SessionState.PREPARING, SessionEvent.START_DUE): SessionState.PLAYING,
    (SessionState.WARMUP, SessionEvent.START_DUE): SessionState.PLAYING,
    (SessionState.PREPARING, SessionEvent.REISSUED): SessionState.PREPARING,
    (SessionState.WARMUP, SessionEvent.REISSUED): SessionState.PREPARING,
    (SessionState.PLAYING, SessionEvent.REISSUED): SessionState.PLAYING,
    (SessionState.PREPARING, SessionEvent.ALL_REFUSED): SessionState.FAILED,
    (SessionState.PLAYING, SessionEvent.ALL_REFUSED): SessionState.FAILED,
    (SessionState.PLAYING, SessionEvent.NOBODY_CAME): SessionState.FAILED,
    **{(state, SessionEvent.STOP): SessionState.STOPPING for state in RUNNING},
    (SessionState.STOPPING, SessionEvent.ALL_STOPPED): SessionState.ENDED,
    (SessionState.STOPPING, SessionEvent.GRACE_OVER): SessionState.ENDED,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many members have answered the session's newest command, and whether any ever obeyed.

    ``done`` and ``failed`` count acks of the record's present revision; ``ever_done`` those of
    all its revisions.
    """

    done: int = 0
    failed: int = 0
    ever_done: int = 0


def after(state: SessionState, event: SessionEvent) -> SessionState:
    """The state that ``event`` leads to. Raises `ValueError` where the table has no such move."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a session that is {state} has no way to go at {event}") from None


def state_at(
    state: SessionState,
    *,
    start_at_ms: int,
    fail_at_ms: int | None,
    stopping_ms: int | None,
    members: int,
    progress: Progress,
    now_ms: int,
) -> SessionState:
    """The state at ``now_ms`` of a session that was in ``state`` when it was last written.

    ``members`` is how many were told its newest command, ``progress`` how they have answered.
    ``fail_at_ms`` is when all had the time to take it up (None: that cannot be said yet).
    """
    ever_done = max(progress.ever_done, progress.done)
    had_time = fail_at_ms is not None and now_ms >= fail_at_ms
    holds = {
        SessionEvent.ALL_REFUSED: 0 < members <= progress.failed and ever_done == 0,
        SessionEvent.START_DUE: now_ms >= start_at_ms,
        SessionEvent.ALL_READY: 0 < members <= progress.done,
        SessionEvent.NOBODY_CAME: had_time and ever_done == 0,
        SessionEvent.ALL_STOPPED: progress.done + progress.failed >= members,
        SessionEvent.GRACE_OVER: now_ms >= (stopping_ms or 0) + STOP_GRACE_MS,
    }
    while True:
        due = next((e for e, is_so in holds.items() if is_so and (state, e) in TRANSITIONS), None)
        if due is None:
            return state
        state = TRANSITIONS[state, due]


def mermaid() -> str:
    """The page of the docs on this table: its diagram, in Mermaid's language."""
    events: dict[tuple[SessionState, SessionState], list[str]] = {}
    for (source, event), target in TRANSITIONS.items():
        if source is not target:
            events.setdefault((source, target), []).append(event.value)
    moves = [
        f"    {source} --> {target}: {', '.join(names)}"
        for (source, target), names in events.items()
    ]
    lasts = [s for s in SessionState if all(source is not s for source, _ in TRANSITIONS)]
    ends = [f"    {state} --> [*]" for state in lasts]
    first = f"    [*] --> {SessionState.PREPARING}"
    return "\n".join(("stateDiagram-v2", first, *moves, *ends)) + "\n"


def page() -> str:
    """``docs/session-states.md``: the diagram, and the table that the docstring above has."""
    _, table, remarks = (__doc__ or "").split("\n\n", 2)
    return (
        "# States of a session\n\n"
        "Written from `libs/common/unisono/core/session_state.py`: do not edit.\n\n"
        f"```mermaid\n{mermaid()}```\n\n```text\n{table}\n```\n\n{remarks}"
    )
