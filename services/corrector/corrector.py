"""The corrector's loop: look, decide (in the core), act, tell."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from services.corrector.helm import Helm
from services.corrector.start_error import StartError
from unisono.bus import topics
from unisono.config import ConfigError, Flags, Settings, load_flags
from unisono.core.control import ControlRules
from unisono.core.guidance import Guidance, LanWord, guide, heard
from unisono.core.mode import Mode, ModeRules
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Role, SessionSpec
from unisono.core.steering import Observation, Stage, SteeringRules, SteeringState, steer
from unisono.core.target import Target
from unisono.core.timeline import Playlist
from unisono.core.units import NS_PER_MS, NS_PER_US, OwnNs, WallNs, ns_to_s
from unisono.runtime import Clock

log = logging.getLogger(__name__)

# Ten looks a second: the speed's own delay is several times longer, so more would only cost.
STEP_S = 0.1
# Before the first word: lower than any revision.
_UNKNOWN = -1
# One per cent is 10_000_000 ppb.
PPB_PER_PCT = 10_000_000


def mode_rules(flags: Flags) -> ModeRules:
    """The mode table's thresholds from the flags."""
    return ModeRules(
        lan_enabled=flags.lan_enabled,
        timeout_ns=flags.lan_timeout_ms * NS_PER_MS,
        settle_ns=flags.lan_settle_ms * NS_PER_MS,
        max_bound_ns=round(flags.lan_max_bound_ms * NS_PER_MS),
        fallback_to_cloud=flags.lan_fallback_to_cloud,
    )


def steering_rules(flags: Flags) -> SteeringRules:
    """The control law's limits from the flags."""
    return SteeringRules(
        control=ControlRules(
            dead_band_ns=flags.dead_band_us * NS_PER_US,
            max_correction_ppb=round(flags.max_speed_pct * PPB_PER_PCT),
        ),
        hard_reset_ns=flags.hard_reset_ms * NS_PER_MS,
    )


def located(playlist: Playlist, media_dir: str) -> Playlist:
    """The same playlist with relative paths taken from ``media_dir``."""
    items = tuple(
        item
        if "://" in item.uri or Path(item.uri).is_absolute()
        else replace(item, uri=str(Path(media_dir) / item.uri))
        for item in playlist.items
    )
    return Playlist(items)


@dataclass(frozen=True, slots=True)
class _Assignment:
    """What is to be played, by the newest word of the cloud, made ready for this device."""

    session: SessionSpec
    playlist: Playlist
    flags: Flags


class Corrector:
    """Steers one player along the session's timeline and publishes a drift sample a step."""

    def __init__(self, settings: Settings, flags: Flags, helm: Helm, clock: Clock) -> None:
        self._settings = settings
        self._base_flags = flags
        self._helm = helm
        self._clock = clock
        self._revision = _UNKNOWN
        self._newest: Desired | None = None
        self._assignment: _Assignment | None = None
        self._guidance = Guidance()
        self._steering = SteeringState()
        self._start = StartError()

    def hear_desired(self, desired: Desired) -> None:
        """Note the cloud's newest word; the next step obeys it."""
        if self._newest is None or desired.revision > self._newest.revision:
            self._newest = desired

    async def _obey_newest(self) -> None:
        """Take the cloud's newest word; older revisions are ignored."""
        desired = self._newest
        if desired is None or desired.revision <= self._revision:
            return
        self._revision = desired.revision
        old = self._assignment
        self._assignment = self._prepared(desired.session) if desired.session else None
        new = self._assignment
        if old and new and old.session.session_id == new.session.session_id:
            return  # another term of the same show: the picture goes on
        self._start = StartError()
        await self._helm.drop_job()
        self._steering = replace(self._steering, stage=_stage_after_change(self._steering))
        log.info("session %s", new.session.session_id if new else "none")

    def hear_timing(self, timing: topics.Timing) -> None:
        """Note the beacon process's newest word on time."""
        word = LanWord(
            session_id=timing.session_id,
            term=timing.term,
            clock_map=timing.clock_map,
            timeline=timing.timeline,
            beacon_own_ns=timing.beacon_own_ns,
            stable_since_own_ns=timing.stable_since_own_ns,
        )
        self._guidance = heard(self._guidance, word)

    async def step(self) -> topics.DriftSample:
        """One look at the player, one decision; returns what to publish."""
        await self._obey_newest()
        assignment = self._assignment
        playlist = assignment.playlist if assignment else None
        flags = assignment.flags if assignment else self._base_flags
        if self._helm.busy:
            # The job owns the player; only the mode goes on.
            self._guide(assignment, flags)
            return self._sample(None, PlayerState.SEEKING, None, assignment)
        seen = await self._helm.look(playlist)
        target = self._guide(assignment, flags)
        if self._revision == _UNKNOWN:
            # Just restarted: a picture that runs is left alone until the cloud's word is known.
            return self._sample(None, seen.sample.state, None, None)
        self._steering, actions = steer(
            self._steering,
            target=target,
            seen=seen,
            rules=steering_rules(flags),
            now_ns=self._clock.own_ns(),
        )
        await self._helm.carry_out(actions, playlist)
        self._note_start(seen, assignment)
        return self._sample(target, seen.sample.state, seen, assignment)

    def _guide(self, assignment: _Assignment | None, flags: Flags) -> Target | None:
        self._guidance, target = guide(
            self._guidance,
            session=assignment.session if assignment else None,
            rules=mode_rules(flags),
            now_ns=self._clock.own_ns(),
            wall_ns=self._clock.wall_ns(),
        )
        return target

    def _prepared(self, session: SessionSpec) -> _Assignment:
        try:
            flags = load_flags(session.flags, base=self._base_flags)
        except ConfigError as error:
            log.error("the session's flags are ignored: %s", error)
            flags = self._base_flags
        playlist = located(session.playlist, self._settings.media_dir)
        return _Assignment(session, playlist, flags)

    def _note_start(self, seen: Observation, assignment: _Assignment | None) -> None:
        running = self._steering.stage is Stage.RUNNING
        if not running or assignment is None or seen.sample.phase_ns is None:
            return
        since_ns = self._clock.own_ns() - seen.sample.at_own_ns
        self._start = self._start.add(
            start_at_ns=WallNs(assignment.session.start_at_ms * NS_PER_MS),
            phase_ns=seen.sample.phase_ns,
            wall_ns=WallNs(self._clock.wall_ns() - since_ns),
        )

    def _sample(
        self,
        target: Target | None,
        player_state: PlayerState,
        seen: Observation | None,
        assignment: _Assignment | None,
    ) -> topics.DriftSample:
        now_ns: OwnNs = self._clock.own_ns()
        session = assignment.session if assignment else None
        running = seen is not None and self._steering.stage is Stage.RUNNING
        # The wall clock's error is assumed, not measured: no figure to publish.
        measured = self._guidance.state.mode in {Mode.LAN, Mode.HOLDOVER}
        return topics.DriftSample(
            session_id=session.session_id if session else "",
            term=session.term if session else 0,
            role=session.role_of(self._settings.device_id) if session else Role.IDLE,
            at_own_ns=seen.sample.at_own_ns if seen else now_ns,
            mode=self._guidance.state.mode,
            player_state=player_state,
            drift_ns=self._steering.drift_ns if running else None,
            phase_ns=seen.sample.phase_ns if seen else None,
            bound_ns=target.bound_ns(now_ns) if target and measured else None,
            speed=seen.sample.speed if seen else 1.0,
            seeks=self._steering.seeks,
            speed_changes=self._steering.speed_changes,
            transitions=self._guidance.transitions,
            mode_seconds={str(m): ns_to_s(ns) for m, ns in self._guidance.mode_ns.items()},
            start_error_ns=self._start.error_ns,
            fault=self._helm.fault,
            player_version=self._helm.player_version,
        )


def _stage_after_change(state: SteeringState) -> Stage:
    """After a change of session: a dropped cue or start must be decided anew."""
    return Stage.IDLE if state.stage in {Stage.LANDING, Stage.ARMED} else state.stage
