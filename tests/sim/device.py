"""Simulated devices in virtual time: the real core around a simulated clock, LAN and player.

True time is an integer of ns that only the world knows. A device reads it through a clock of
its own (offset and rate error), hears beacons and probes through random delays and losses, and
steers a `PlayerModel`. What is judged is the picture: the model's exact position at one true
instant, which no device can see.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.beacon.pace import probe_wait_s
from services.cli.lab.link import Link
from services.cli.lab.profiles import Profile
from unisono.core.clockmap import ClockMap, identity
from unisono.core.control import ControlRules
from unisono.core.estimator import ClockEstimator
from unisono.core.guidance import Guidance, LanWord, guide, heard
from unisono.core.mode import Mode, ModeRules
from unisono.core.playerstate import PlayerSample, PlayerState
from unisono.core.samples import BeaconSample, ProbeSample
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


FRAME_BYTES = 200  # of a beacon or a probe; only a link with a rate cares


class Lan:
    """The links between the devices: the same model, and networks, as the lab's switch has."""

    def __init__(self, profile: Profile, names: Sequence[str], seed: int) -> None:
        first, control = names[0], ""
        self.is_up = True
        self._towards = {
            name: Link(profile.towards(name, control), f"{seed} to {name}") for name in names
        }
        self._leaving = {
            name: Link(profile.leaving(name, control, first), f"{seed} from {name}")
            for name in names
        }

    def arrival_ns(self, sent_ns: int, source: str, target: str) -> int | None:
        """When a message arrives, None when it is lost. Unicast: what is blocked is not used."""
        at_ns = sent_ns
        for link in (self._leaving[source], self._towards[target]):
            copies = (
                link.carry(at_ns, FRAME_BYTES, multicast=False, udp=False) if self.is_up else ()
            )
            if not copies:
                return None
            at_ns = min(copies)
        return at_ns


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
    answered: int = 0
    probe_own_ns: OwnNs | None = None

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

    def __init__(
        self, session: SessionSpec, devices: list[Device], network: Profile, seed: int
    ) -> None:
        self.session = session
        self.devices = devices
        self.lan = Lan(network, [device.name for device in devices], seed)
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

    def clock_errors_ms(self) -> list[tuple[float, float]]:
        """Error and bound of each follower's clock map."""
        out = []
        for device in self.devices[1:]:
            own_ns = device.own(self.true_ns)
            clock_map = device.estimator.clock_map(own_ns)
            assert clock_map is not None, f"{device.name} has no clock map"
            error_ns = clock_map.to_master(own_ns) - self._master.own(self.true_ns)
            out.append((error_ns / NS_PER_MS, clock_map.bound_ns / NS_PER_MS))
        return out

    def _talk(self, device: Device) -> None:
        """One beacon a step (10 Hz is plenty here); probes as the product paces them."""
        own_ns = device.own(self.true_ns)
        if device is self._master:
            device.beacon_own_ns = own_ns
            device.steady_own_ns = device.steady_own_ns or own_ns
            device.timeline = self.timeline
            return
        beacon_ns = self.lan.arrival_ns(self.true_ns, self._master.name, device.name)
        if beacon_ns is not None:
            self._hear(device, device.own(beacon_ns))
        if device.probe_own_ns is None or own_ns >= device.probe_own_ns:
            self._probe(device, own_ns)

    def _probe(self, device: Device, own_ns: OwnNs) -> None:
        there_ns = self.lan.arrival_ns(self.true_ns, device.name, self._master.name)
        if there_ns is not None:
            back_ns = self.lan.arrival_ns(there_ns, self._master.name, device.name)
            if back_ns is not None:
                at_ns = MasterNs(self._master.own(there_ns))
                sample = ProbeSample(own_ns, at_ns, at_ns, device.own(back_ns))
                device.estimator.add_probe(sample)
                device.answered += 1
        known = device.estimator.clock_map(own_ns)
        wait_s = probe_wait_s(
            joined_for_s=self.true_ns / NS_PER_S,
            bound_ns=known.bound_ns if known is not None else None,
            answered=device.answered,
            unanswered=0,
            dice=self.rng.random(),
        )
        device.probe_own_ns = OwnNs(own_ns + round(wait_s * NS_PER_S))

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
