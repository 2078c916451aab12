"""Random calls at several instances of the control plane over one store, cut in two at will.

Each call reads, decides and settles. Here any call may be stopped before it settles while others
run, on whichever instance, with time passing between. What must hold all the while:

- a term of a session has one master, and neither terms nor revisions ever fall;
- the same command says the same whenever it comes; what a device obeys only ever goes up;
- what was acknowledged (and answered) is not delivered by a call that began afterwards;
- what waits for a device, however long it is away, is its newest command alone;
- nothing is kept of a device that was revoked, and no call of it is answered.

And when everything that was stopped has gone on and the devices keep calling: each device that
is on holds the newest revision, each session plays, led by a master that is on, or is over, and
nothing of what is over is left. Each item of telemetry was taken over once.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.control_plane import FILM, OPERATOR
from tests.support.instances import MOST_HELD, Instances
from tests.support.redis_server import RedisServer
from tests.support.screen import SITE, Screen, Told
from tests.support.site_checks import Past, Stored, members_of, telemetry_of, unfit
from unisono.state import MemoryStore, RedisStore
from unisono.state.store import Store

INSTANCES = 2
DEVICES = 4
EXAMPLES = int(os.environ.get("UNISONO_STATEFUL_EXAMPLES", "12"))
STEPS = 40
TURN_MS = 4_000  # of the devices' calls in the end; below every lease
MOST_TURNS = 90  # longer than the longest pause between two moves

# A failure prints its steps. To shorten them takes minutes: ask for it with the examples.
LONG = "UNISONO_STATEFUL_EXAMPLES" in os.environ
PHASES = tuple(Phase) if LONG else (Phase.reuse, Phase.generate)

devices = st.integers(0, DEVICES - 1)
instances = st.integers(0, INSTANCES - 1)


class Fleet(RuleBasedStateMachine):
    """Instances, devices and operators."""

    def store(self) -> Store:
        """Another store over the one that all instances share."""
        raise NotImplementedError

    def empty(self) -> None:
        """Empty what they share."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Enrol the devices, let them call in."""
        self.empty()
        self.cloud = Instances(self.store, INSTANCES)
        self.screens = [Screen(f"screen-{n}") for n in range(DEVICES)]
        self.told = Told()
        self.past = Past(self.told.masters)
        for screen in self.screens:
            self.cloud.wait(screen.enrol(self.cloud.http[0]))
            self.cloud.wait(screen.heartbeat(self.cloud.http[0]))

    # What may happen.

    @rule(device=devices, instance=instances, hold=st.booleans(), beat_lost=st.booleans())
    def heartbeat(self, device: int, instance: int, hold: bool, beat_lost: bool) -> None:
        """A device that is on sends a heartbeat."""
        screen = self.screens[device]
        if screen.on:
            self.cloud.run(screen.heartbeat(self.cloud.http[instance], beat_lost), hold)

    @rule(device=devices, instance=instances, hold=st.booleans())
    def poll(self, device: int, instance: int, hold: bool) -> None:
        """A device that is on polls and obeys."""
        screen = self.screens[device]
        if screen.on:
            self.cloud.run(screen.poll(self.cloud.http[instance], self.told), hold)

    @rule(device=devices, instance=instances, hold=st.booleans(), done=st.booleans())
    def ack(self, device: int, instance: int, hold: bool, done: bool) -> None:
        """A device that is on says how a command ended."""
        screen = self.screens[device]
        if screen.on and screen.waiting:
            self.cloud.run(screen.ack(self.cloud.http[instance], done), hold)

    @rule(
        members=st.sets(devices, min_size=1), instance=instances, hold=st.booleans(),
        replace=st.booleans(), delay_ms=st.sampled_from([0, 1000, 8000]),
    )  # fmt: skip
    def create(
        self, members: set[int], instance: int, hold: bool, replace: bool, delay_ms: int
    ) -> None:
        """An operator starts a session."""
        body = {
            "site": SITE, "device_ids": [self.screens[n].name for n in sorted(members)],
            "playlist": [FILM], "replace": replace, "start_delay_ms": delay_ms,
        }  # fmt: skip
        self._operate(instance, "POST", "/v1/sessions", body, hold)

    @precondition(lambda self: self.past.terms)
    @rule(instance=instances, hold=st.booleans(), nth=st.integers(0, 9), move=st.booleans())
    def end_or_move(self, instance: int, hold: bool, nth: int, move: bool) -> None:
        """An operator stops a session, or gives the lead to another device."""
        session_id = list(self.past.terms)[-1 - nth % len(self.past.terms)]
        path = f"/v1/sessions/{session_id}/{'master' if move else 'stop'}"
        self._operate(instance, "POST", path, {}, hold)

    @rule(
        device=devices, instance=instances, hold=st.booleans(), fresh=st.integers(0, 3),
        again=st.integers(0, 3), queue=st.sampled_from(["disk", "spare"]),
    )  # fmt: skip
    def report(
        self, device: int, instance: int, hold: bool, fresh: int, again: int, queue: str
    ) -> None:
        """A device that is on delivers telemetry, some of it once more."""
        screen = self.screens[device]
        if screen.on:
            self.cloud.run(screen.report(self.cloud.http[instance], queue, fresh, again), hold)

    @rule(
        device=st.none() | devices, instance=instances, hold=st.booleans(),
        seconds=st.none() | st.integers(1, 60),
    )  # fmt: skip
    def flag(self, device: int | None, instance: int, hold: bool, seconds: int | None) -> None:
        """An operator changes a flag of the site or of one device, or takes it back."""
        name = None if device is None else self.screens[device].name
        body = {"values": {"SYNC_STATUS_S": seconds}, "device_id": name, "why": "to see"}
        self._operate(instance, "PATCH", f"/v1/sites/{SITE}/flags", body, hold)

    @rule(device=devices, instance=instances, hold=st.booleans())
    def revoke(self, device: int, instance: int, hold: bool) -> None:
        """An administrator revokes a device, whether it plays or not."""
        self.cloud.run(self.screens[device].revoke(self.cloud.http[instance]), hold)

    @precondition(lambda self: any(screen.revoked for screen in self.screens))
    @rule(instance=instances, hold=st.booleans())
    def enrol(self, instance: int, hold: bool) -> None:
        """A device that was revoked is enrolled anew."""
        screen = next(screen for screen in self.screens if screen.revoked)
        self.cloud.run(screen.enrol(self.cloud.http[instance]), hold)

    @rule(ms=st.sampled_from([1, 400, 3_000, 9_000, 20_000]))
    def wait(self, ms: int) -> None:
        """Time passes."""
        self.cloud.time.ms += ms

    @precondition(lambda self: self.cloud.held)
    @rule(nth=st.integers(0, MOST_HELD - 1))
    def go_on(self, nth: int) -> None:
        """A call that was stopped goes on."""
        self.cloud.go_on(nth)

    @rule(device=devices, what=st.sampled_from(["off", "on", "boot", "forget"]))
    def disturb(self, device: int, what: str) -> None:
        """A device is switched, boots again, or comes back without its state."""
        screen = self.screens[device]
        screen.on = what != "off"
        if what in ("boot", "forget"):
            screen.boot += 1
        if what == "forget":
            screen.forget()

    def _operate(
        self, instance: int, method: str, path: str, body: dict[str, Any], hold: bool
    ) -> None:
        """An operator's call."""

        async def call() -> None:
            http = self.cloud.http[instance]
            reply = await http.request(method, path, json=body, headers=OPERATOR)
            assert reply.status_code in (200, 201, 404, 409, 503), reply.text

        self.cloud.run(call(), hold)

    # What must hold.

    @invariant()
    def the_site_is_sound(self) -> None:
        """The document, what waits, and what is kept by device."""
        site = self.cloud.wait(self.cloud.below.site_view(SITE)).site
        self.past.check(site)
        names = [screen.name for screen in self.screens]
        stored = self.cloud.wait(Stored.read(self.cloud.raw, SITE, names))
        for screen in self.screens:
            assert len(stored.queues[screen.name]) <= 1, "a device gathers commands"
            if screen.revoked:
                assert not stored.kept_of(screen.name)
                assert screen.name not in members_of(site)

    def teardown(self) -> None:
        """Let everything go on, and the devices call until nothing changes any more."""
        if not hasattr(self, "cloud"):
            return
        try:
            while self.cloud.held:
                self.cloud.go_on()
            self.cloud.wait(self._settle())
            self.cloud.wait(self._play_anew())
            self.the_site_is_sound()
            self.cloud.wait(self._all_is_told_once())
        finally:
            self.cloud.close()

    async def _settle(self) -> None:
        for _ in range(MOST_TURNS):
            if not (why := await self._turn()):
                return
        raise AssertionError(why)

    async def _play_anew(self) -> None:
        """After all that, a session begins and goes on as on the first day.

        One member loses its state, then the master is gone; no command is left over.
        """
        present = [screen for screen in self.screens if screen.on and not screen.revoked]
        if not present:
            return
        names = [screen.name for screen in present]
        body = {"site": SITE, "device_ids": names, "playlist": [FILM], "replace": True}
        reply = await self.cloud.http[0].post("/v1/sessions", json=body, headers=OPERATOR)
        assert reply.status_code == 201, reply.text
        await self._settle()
        present[-1].forget()
        await self._settle()
        master = reply.json()["master_device_id"]
        if names != [master]:
            names.remove(master)
            self.screens[int(master[-1])].on = False
            await self._settle()
        stored = await Stored.read(self.cloud.raw, SITE, names)
        assert not any(stored.queues.values())

    async def _turn(self) -> str:
        """Every device that is on calls; what is not as it must be in the end ("": all is)."""
        self.cloud.time.ms += TURN_MS
        present = [screen for screen in self.screens if screen.on and not screen.revoked]
        on = {screen.name for screen in present}
        for n, screen in enumerate(present):
            http = self.cloud.http[n % INSTANCES]
            await screen.heartbeat(http, screen.master not in on)
            await screen.poll(http, self.told)
            while screen.waiting:
                await screen.ack(http)
        view = await self.cloud.below.site_view(SITE)
        for screen in present:
            wanted = view.site.session_of(screen.name)
            holds = (wanted.spec.session_id, wanted.revision) if wanted else ("", None)
            if holds != (screen.session_id, screen.revision if wanted else None):
                return f"{screen.name} holds {screen.session_id} {screen.revision}, not {holds}"
        stored = await Stored.read(self.cloud.raw, SITE, on)
        over = set(stored.leads) - {record.spec.session_id for record in view.site.sessions}
        return unfit(view.site, on) or ("LEADS has what is over" if over and on else "")

    async def _all_is_told_once(self) -> None:
        """Telemetry: each item that was taken over is kept, and was counted once."""
        for screen in self.screens:
            items = await telemetry_of(self.cloud.raw, SITE, screen.name)
            for queue, last in screen.delivered.items():
                seqs = sorted(item.seq for item in items if item.queue == queue)
                assert seqs == list(range(1, last + 1))
        taken = (screen.before + sum(screen.delivered.values()) for screen in self.screens)
        assert (await self.cloud.below.site_view(SITE)).events.get("fault", 0) == sum(taken)


def _run(machine: type[Fleet]) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    how = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, phases=PHASES,
        suppress_health_check=slow,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=how)


@pytest.mark.parametrize("kind", ["redis", "memory"])
def test_interleaved_calls_of_several_instances(kind: str, redis_server: RedisServer) -> None:
    class Machine(Fleet):
        def empty(self) -> None:
            redis_server.flush()
            self.memory = MemoryStore()

        def store(self) -> Store:
            return RedisStore(redis_server.url) if kind == "redis" else self.memory

    _run(Machine)
