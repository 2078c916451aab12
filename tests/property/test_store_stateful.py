"""Random calls at several instances of the control plane over one store, cut in two at will.

Each call reads, decides and settles. Here any call may be stopped before it settles while others
run, on whichever instance, with time passing between. What must hold all the while:

- a term of a session has one master, and neither terms nor revisions ever fall;
- the same command says the same whenever it comes; what a device obeys only ever goes up;
- what was acknowledged (and answered) is not delivered by a call that began afterwards.

And when everything that was stopped has gone on and the devices keep calling: each device that
is on holds the newest revision, and each session plays, led by a master that is on, or is over.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import httpx
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

from services.control_plane.app import create_app
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import ADMIN, ADMIN_TOKEN, FILM, OPERATOR, OPERATOR_TOKEN, Time
from tests.support.gated_store import GATE, Gate, GatedStore
from tests.support.redis_server import RedisServer
from tests.support.screen import Screen, Told
from unisono.core.session_state import SessionState
from unisono.state import DocumentStore, MemoryStore, RedisStore
from unisono.state.store import Store

SITE = "lobby"
INSTANCES = 2
DEVICES = 4
EXAMPLES = int(os.environ.get("UNISONO_STATEFUL_EXAMPLES", "12"))
STEPS = 30
MOST_HELD = 3
TURN_MS = 4_000  # of the devices' calls in the end; below every lease
MOST_TURNS = 90  # longer than the longest pause between two moves of the lead

# A failure prints its steps. To shorten them takes minutes: ask for it with the examples.
LONG = "UNISONO_STATEFUL_EXAMPLES" in os.environ
PHASES = tuple(Phase) if LONG else (Phase.reuse, Phase.generate)

devices = st.integers(0, DEVICES - 1)
instances = st.integers(0, INSTANCES - 1)


@dataclass
class Held:
    """A call that was stopped before it settles."""

    task: asyncio.Task[None]
    gate: Gate


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
        self.loop = asyncio.new_event_loop()
        self.time = Time()
        values = {"admin_token": ADMIN_TOKEN, "operator_token": OPERATOR_TOKEN}
        self.below = DocumentStore(self.store())
        self.http = []
        for _ in range(INSTANCES):
            store = DocumentStore(GatedStore(self.store()))
            app = create_app(ControlSettings(**values), store, self.time)  # type: ignore[arg-type]
            transport = httpx.ASGITransport(app, raise_app_exceptions=True)
            self.http.append(httpx.AsyncClient(transport=transport, base_url="http://cloud"))
        self.screens = [Screen(f"screen-{n}") for n in range(DEVICES)]
        self.held: list[Held] = []
        self.told = Told()
        self.terms: dict[str, int] = {}
        self.revision = 0
        self.loop.run_until_complete(self._enrol())

    async def _enrol(self) -> None:
        path = f"/v1/sites/{SITE}/enroll-tokens"
        made = await self.http[0].post(path, json={"count": DEVICES}, headers=ADMIN)
        for screen, token in zip(self.screens, made.json()["tokens"], strict=True):
            body = {"token": token, "device_id": screen.name}
            reply = await self.http[0].post("/v1/device/enroll", json=body)
            screen.bearer = f"{screen.name}.{reply.json()['secret']}"
            await screen.heartbeat(self.http[0])

    # What may happen.

    @rule(device=devices, instance=instances, hold=st.booleans(), beat_lost=st.booleans())
    def heartbeat(self, device: int, instance: int, hold: bool, beat_lost: bool) -> None:
        """A device that is on sends a heartbeat."""
        screen = self.screens[device]
        if screen.on:
            self._run(screen.heartbeat(self.http[instance], beat_lost), hold)

    @rule(device=devices, instance=instances, hold=st.booleans())
    def poll(self, device: int, instance: int, hold: bool) -> None:
        """A device that is on polls and obeys."""
        screen = self.screens[device]
        if screen.on:
            self._run(screen.poll(self.http[instance], self.told), hold)

    @rule(device=devices, instance=instances, hold=st.booleans(), done=st.booleans())
    def ack(self, device: int, instance: int, hold: bool, done: bool) -> None:
        """A device that is on says how a command ended."""
        screen = self.screens[device]
        if screen.on and screen.waiting:
            self._run(screen.ack(self.http[instance], done), hold)

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
        self._run(self._operate(self.http[instance], "/v1/sessions", body), hold)

    @precondition(lambda self: self.terms)
    @rule(instance=instances, hold=st.booleans(), nth=st.integers(0, 9), move=st.booleans())
    def end_or_move(self, instance: int, hold: bool, nth: int, move: bool) -> None:
        """An operator stops a session, or gives the lead to another device."""
        session_id = sorted(self.terms)[nth % len(self.terms)]
        path = f"/v1/sessions/{session_id}/{'master' if move else 'stop'}"
        self._run(self._operate(self.http[instance], path, {}), hold)

    @rule(ms=st.sampled_from([1, 400, 3_000, 9_000, 20_000]))
    def wait(self, ms: int) -> None:
        """Time passes."""
        self.time.ms += ms

    @precondition(lambda self: self.held)
    @rule(nth=st.integers(0, MOST_HELD - 1))
    def go_on(self, nth: int) -> None:
        """A call that was stopped goes on."""
        held = self.held.pop(nth % len(self.held))
        held.gate.opened.set()
        self.loop.run_until_complete(held.task)

    @rule(device=devices, what=st.sampled_from(["off", "on", "boot", "forget"]))
    def disturb(self, device: int, what: str) -> None:
        """A device is switched, boots again, or comes back without its state."""
        screen = self.screens[device]
        screen.on = what != "off"
        if what in ("boot", "forget"):
            screen.boot += 1
        if what == "forget":
            screen.forget()

    # How it happens.

    def _run(self, call: Any, hold: bool) -> None:
        """Run a call to its end, or to where it would settle."""
        gate = Gate()

        async def whole() -> None:
            if hold and len(self.held) < MOST_HELD:
                GATE.set(gate)
            await call

        async def begun() -> asyncio.Task[None]:
            task = asyncio.create_task(whole())
            waiting = asyncio.create_task(gate.waiting.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            return task

        task = self.loop.run_until_complete(begun())
        if task.done():
            task.result()
        else:
            self.held.append(Held(task, gate))

    async def _operate(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
        reply = await http.post(path, json=body, headers=OPERATOR)
        assert reply.status_code in (200, 201, 404, 409, 503), reply.text

    # What must hold.

    @invariant()
    def one_master_per_term_and_nothing_falls(self) -> None:
        """The document itself."""
        view = self.loop.run_until_complete(self.below.site_view(SITE))
        assert view.site.revision >= self.revision
        self.revision = view.site.revision
        held: set[str] = set()
        for record in view.site.sessions:
            spec = record.spec
            term = (spec.session_id, spec.term)
            assert (
                self.told.masters.setdefault(term, spec.master_device_id) == spec.master_device_id
            )
            assert spec.term >= self.terms.get(spec.session_id, 0)
            self.terms[spec.session_id] = spec.term
            assert spec.member(spec.master_device_id) is not None
            if record.state is not SessionState.STOPPING:
                members = {member.device_id for member in spec.members}
                assert not members & held, "a device in two sessions"
                held |= members

    def teardown(self) -> None:
        """Let everything go on, and the devices call until nothing changes any more."""
        if not hasattr(self, "loop"):
            return
        try:
            for held in self.held:
                held.gate.opened.set()
                self.loop.run_until_complete(held.task)
            turns = 0
            while (why := self.loop.run_until_complete(self._turn())) and turns < MOST_TURNS:
                turns += 1
            assert not why, why
        finally:
            self.loop.run_until_complete(self._close())
            self.loop.close()

    async def _close(self) -> None:
        for held in self.held:
            held.task.cancel()
        await asyncio.gather(*(held.task for held in self.held), return_exceptions=True)
        for http in self.http:
            app: Any = http._transport
            await app.app.state.context.store.close()
            await http.aclose()
        await self.below.close()

    async def _turn(self) -> str:
        """Every device that is on calls; what is not as it must be in the end ("": all is)."""
        self.time.ms += TURN_MS
        on = {screen.name for screen in self.screens if screen.on}
        for n, screen in enumerate(screen for screen in self.screens if screen.on):
            http = self.http[n % INSTANCES]
            await screen.heartbeat(http, screen.master not in on)
            await screen.poll(http, self.told)
            while screen.waiting:
                await screen.ack(http)
        view = await self.below.site_view(SITE)
        for record in view.site.sessions:
            members = {member.device_id for member in record.spec.members}
            name = record.spec.session_id
            if not members & on:
                continue  # nobody is there whose call could be the occasion
            if record.state is not SessionState.PLAYING:
                return f"{name} is still {record.state.value}"
            if record.spec.master_device_id not in on:
                return f"{name} is led by {record.spec.master_device_id}, which is off"
        for screen in self.screens:
            wanted = view.site.session_of(screen.name)
            holds = (wanted.spec.session_id, wanted.revision) if wanted else ("", None)
            if screen.on and holds != (screen.session_id, screen.revision if wanted else None):
                return f"{screen.name} holds {screen.session_id} {screen.revision}, not {holds}"
        return ""


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
