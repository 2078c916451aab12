"""Simulated devices in virtual time: the real core around a simulated clock, LAN and player.

True time is an integer of ns that only the world knows. A device reads it through a clock of
its own (offset and rate error), hears beacons and probes through random delays and losses, and
steers a `PlayerModel`. What is judged is the picture: the model's exact position at one true
instant, which no device can see.
"""

import random
from dataclasses import dataclass, field

from unisono.core.clockmap import ClockMap, identity
from unisono.core.control import ControlRules
from unisono.core.estimator import BeaconSample, ClockEstimator, ProbeSample
from unisono.core.guidance import Guidance, LanWord, guide, heard
from unisono.core.mode import Mode, ModeRules
from unisono.core.playerstate import PlayerSample, PlayerState
from unisono.core.session import SessionSpec
from unisono.core.steering import (
    Action,
    Cue,
    Observation,
    Play,
    SetSpeed,
    SteeringRules,
    SteeringState,
    Stop,
    steer,
)
from unisono.core.timeline import Timeline
from unisono.core.units import NS_PER_MS, NS_PER_S, MasterNs, OwnNs, WallNs, scale_ppb
from unisono.player.model import SIM_TRAITS, Failings, PlayerModel

STEP_NS = 100 * NS_PER_MS
WALL_ZERO_NS = 1_800_000_000 * NS_PER_S

MODE_RULES = ModeRules(
    lan_enabled=True,
    timeout_ns=1500 * NS_PER_MS,
    settle_ns=1000 * NS_PER_MS,
    max_bound_ns=20 * NS_PER_MS,
    fallback_to_cloud=True,
)
STEERING_RULES = SteeringRules(
    ControlRules(dead_band_ns=50_000, max_correction_ppb=30_000_000), 500 * NS_PER_MS
)


@dataclass(frozen=True, slots=True)
class Lan:
    """Delays of each direction: a least one, and an exponential one on top; and loss."""

    least_ns: int = 100_000
    mean_ns: int = 100_000
    loss: float = 0.0

    def delay_ns(self, rng: random.Random) -> int | None:
        """The delay of one message, None when it is lost."""
        if rng.random() < self.loss:
            return None
        return self.least_ns + round(rng.expovariate(1 / self.mean_ns))


@dataclass
class Device:
    """One device; see the module."""

    name: str
    clock_offset_ns: int
    clock_rate_ppb: int
    player: PlayerModel
    wall_error_ns: int = 0
    estimator: ClockEstimator = field(default_factory=ClockEstimator)
    guidance: Guidance = field(default_factory=Guidance)
    steering: SteeringState = field(default_factory=SteeringState)
    holds: bool = False
    dead: bool = False
    play_at_ns: OwnNs | None = None
    beacon_own_ns: OwnNs | None = None
    steady_own_ns: OwnNs | None = None
    timeline: Timeline | None = None

    def own(self, true_ns: int) -> OwnNs:
        """This device's monotonic clock."""
        return OwnNs(self.clock_offset_ns + true_ns + scale_ppb(true_ns, self.clock_rate_ppb))

    def wall(self, true_ns: int) -> WallNs:
        """This device's wall clock."""
        return WallNs(WALL_ZERO_NS + true_ns + self.wall_error_ns)

    def observe(self, own_ns: OwnNs) -> Observation:
        """Read the player, as `services.corrector.helm` does."""
        state = PlayerState.ABSENT if self.dead else self.player.state(own_ns)
        position_ns = None if self.dead else self.player.read_ns(own_ns)
        sample = PlayerSample(own_ns, state, position_ns, self.player.speed, 0)
        return Observation(sample, self.holds and not self.dead, self.player.traits)

    def act(self, action: Action, own_ns: OwnNs, length_ns: int) -> None:
        """Carry out one action."""
        match action:
            case SetSpeed(speed):
                self.player.set_speed(speed, own_ns)
            case Play(at_own_ns):
                self.play_at_ns = at_own_ns
            case Stop():
                self.player.stop(own_ns)
                self.holds = False
            case Cue(phase_ns):
                self.play_at_ns = None
                self.player.set_paused(True, own_ns)
                if self.holds:
                    self.player.seek(phase_ns, own_ns)
                else:
                    self.player.load(length_ns, phase_ns, own_ns)
                self.holds = True


def new_device(name: str, rng: random.Random, *, wall_error_ns: int = 0) -> Device:
    """A device with its own clocks and its own player's failings."""
    failings = Failings(
        rate_error_ppb=rng.randint(-50_000, 50_000), noise_ns=30_000, seed=rng.randrange(2**32)
    )
    return Device(
        name=name,
        clock_offset_ns=rng.randrange(10**13),
        clock_rate_ppb=rng.randint(-50_000, 50_000),
        player=PlayerModel(SIM_TRAITS, failings),
        wall_error_ns=wall_error_ns,
    )


class Wall:
    """A master (the first device) and its followers, playing one session."""

    def __init__(self, session: SessionSpec, devices: list[Device], lan: Lan, seed: int) -> None:
        self.session = session
        self.devices = devices
        self.lan = lan
        self.lan_is_up = True
        self.true_ns = 0
        self.rng = random.Random(seed)
        self._master = devices[0]
        start_true_ns = session.start_at_ms * NS_PER_MS - WALL_ZERO_NS
        start_true_ns -= self._master.wall_error_ns
        self.start_true_ns = start_true_ns
        self.timeline = Timeline(self._master.own(start_true_ns), session.playlist.length_ns)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * NS_PER_S / STEP_NS)):
            for device in self.devices:
                self._talk(device)
            for device in self.devices:
                self._start_in_time(device)
            self.true_ns += STEP_NS
            for device in self.devices:
                self._step(device)

    def positions_ms(self) -> list[float | None]:
        """The exact position of each picture at this very true instant."""
        out: list[float | None] = []
        for device in self.devices:
            own_ns = device.own(self.true_ns)
            position_ns = None if device.dead else device.player.position_ns(own_ns)
            out.append(None if position_ns is None else position_ns / NS_PER_MS)
        return out

    def errors_ms(self) -> list[float]:
        """Each picture against the master's timeline: the truth of drift."""
        length_ms = self.session.playlist.length_ns / NS_PER_MS
        due_ms = self.timeline.phase_ns(self._master.own(self.true_ns)) / NS_PER_MS
        half = length_ms / 2
        shown = [p for p in self.positions_ms() if p is not None]
        assert len(shown) == len(self.devices), "a picture stands still"
        return [(p - due_ms + half) % length_ms - half for p in shown]

    def modes(self) -> list[Mode]:
        """The mode of each device."""
        return [device.guidance.state.mode for device in self.devices]

    def _talk(self, device: Device) -> None:
        """One beacon a step (10 Hz is plenty here); probes often at first, then twice a second."""
        own_ns = device.own(self.true_ns)
        if device is self._master:
            device.beacon_own_ns = own_ns
            device.steady_own_ns = device.steady_own_ns or own_ns
            device.timeline = self.timeline
            return
        beacon_ns = self.lan.delay_ns(self.rng) if self.lan_is_up else None
        if beacon_ns is not None:
            self._hear(device, device.own(self.true_ns + beacon_ns))
        there_ns, back_ns = self.lan.delay_ns(self.rng), self.lan.delay_ns(self.rng)
        known = device.estimator.clock_map(own_ns)
        often = known is None or known.bound_ns > NS_PER_MS
        asked = self.lan_is_up and (often or self.rng.random() < 0.2)
        if asked and there_ns is not None and back_ns is not None:
            at_master_ns = self._master.own(self.true_ns + there_ns)
            received_ns = device.own(self.true_ns + there_ns + back_ns)
            sample = ProbeSample(
                own_ns, MasterNs(at_master_ns), MasterNs(at_master_ns), received_ns
            )
            device.estimator.add_probe(sample)

    def _hear(self, device: Device, received_ns: OwnNs) -> None:
        gap = device.beacon_own_ns is None or received_ns - device.beacon_own_ns > NS_PER_S
        if gap or device.steady_own_ns is None:
            device.steady_own_ns = received_ns
        device.beacon_own_ns = received_ns
        device.timeline = self.timeline
        sent_ns = MasterNs(self._master.own(self.true_ns))
        device.estimator.add_beacon(BeaconSample(sent_ns, received_ns))

    def _map(self, device: Device, own_ns: OwnNs) -> ClockMap | None:
        return identity(own_ns) if device is self._master else device.estimator.clock_map(own_ns)

    def _start_in_time(self, device: Device) -> None:
        """Unpause at the very instant, between two steps."""
        at_ns = device.play_at_ns
        if at_ns is not None and not device.dead and at_ns <= device.own(self.true_ns + STEP_NS):
            device.player.set_paused(False, max(at_ns, device.own(self.true_ns)))
            device.play_at_ns = None

    def _step(self, device: Device) -> None:
        """What `services.corrector.corrector` does, in virtual time."""
        own_ns = device.own(self.true_ns)
        silent = device.beacon_own_ns is None or own_ns - device.beacon_own_ns > NS_PER_S
        word = LanWord(
            self.session.session_id,
            self.session.term,
            self._map(device, own_ns),
            device.timeline,
            device.beacon_own_ns,
            None if silent else device.steady_own_ns,
        )
        device.guidance, target = guide(
            heard(device.guidance, word),
            session=self.session,
            rules=MODE_RULES,
            now_ns=own_ns,
            wall_ns=device.wall(self.true_ns),
        )
        if device.play_at_ns is not None:
            return  # the job under way owns the player
        device.steering, actions = steer(
            device.steering,
            target=target,
            seen=device.observe(own_ns),
            rules=STEERING_RULES,
            now_ns=own_ns,
        )
        for action in actions:
            device.act(action, own_ns, self.session.playlist.length_ns)
