"""Several instances of the control plane over one store, whose calls can be stopped midway."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from services.control_plane.app import create_app
from services.control_plane.settings import ControlSettings
from tests.support.control_plane import ADMIN_TOKEN, OPERATOR_TOKEN, Time
from tests.support.gated_store import GATE, Gate, GatedStore
from unisono.state import DocumentStore
from unisono.state.store import Store

Answer = TypeVar("Answer")

MOST_HELD = 3


@dataclass
class Held:
    """A call that was stopped before it settles."""

    task: asyncio.Task[None]
    gate: Gate


class Instances:
    """The instances by number in ``http``, their time, and the calls that are held back.

    ``below`` is the store that they share, for looking into it: typed, and as it is in ``raw``.
    """

    def __init__(self, store: Callable[[], Store], count: int) -> None:
        self._loop = asyncio.new_event_loop()
        self.time = Time()
        self.raw = store()
        self.below = DocumentStore(self.raw)
        self.held: list[Held] = []
        self.http = []
        self._stores = []
        values = {"admin_token": ADMIN_TOKEN, "operator_token": OPERATOR_TOKEN}
        for _ in range(count):
            shared = DocumentStore(GatedStore(store()))
            app = create_app(ControlSettings(**values), shared, self.time)  # type: ignore[arg-type]
            transport = httpx.ASGITransport(app, raise_app_exceptions=True)
            self.http.append(httpx.AsyncClient(transport=transport, base_url="http://cloud"))
            self._stores.append(shared)

    def wait(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """Run to the end."""
        return self._loop.run_until_complete(call)

    def run(self, call: Coroutine[Any, Any, None], hold: bool) -> None:
        """Run a call to its end, or (``hold``) to where it would settle."""
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

        task = self.wait(begun())
        if task.done():
            task.result()
        else:
            self.held.append(Held(task, gate))

    def go_on(self, nth: int = 0) -> None:
        """Let one of the calls that are held back go on to its end."""
        held = self.held.pop(nth % len(self.held))
        held.gate.opened.set()
        self._loop.run_until_complete(held.task)

    def close(self) -> None:
        """Give up what is held back, and all connections."""
        self.wait(self._close())
        self._loop.close()

    async def _close(self) -> None:
        for held in self.held:
            held.task.cancel()
        await asyncio.gather(*(held.task for held in self.held), return_exceptions=True)
        for http, store in zip(self.http, self._stores, strict=True):
            await store.close()
            await http.aclose()
        await self.below.close()
