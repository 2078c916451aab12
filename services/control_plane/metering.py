"""CPU time of one call: of its own steps, not of what other calls did while it waited."""

import time
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Meter:
    """CPU time used so far; time in other threads is added by whoever ran them (`add_ns`)."""

    def __init__(self) -> None:
        self._used_ns = 0
        self._since_ns: int | None = None

    def start(self) -> None:
        """The call runs from now on."""
        self._since_ns = time.thread_time_ns()

    def stop(self) -> None:
        """The call waits from now on."""
        self._used_ns = self.used_ns()
        self._since_ns = None

    def add_ns(self, used_ns: int) -> None:
        """Add what was used elsewhere on behalf of the call."""
        self._used_ns += used_ns

    def used_ns(self) -> int:
        """All that was used so far."""
        if self._since_ns is None:
            return self._used_ns
        return self._used_ns + time.thread_time_ns() - self._since_ns


class Tails:
    """What calls have used after they were counted, until the next call of the same route.

    A call is counted with all that it writes, so it cannot know what writing costs. It is all that
    a process keeps between calls: when it ends, the tails of its last calls are lost.
    """

    def __init__(self) -> None:
        self._ns: dict[str, int] = {}

    def leave(self, route: str, used_ns: int) -> None:
        """Add what a call of ``route`` has used since it was counted."""
        self._ns[route] = self._ns.get(route, 0) + used_ns

    def take(self, route: str) -> int:
        """What was left, which is counted now."""
        return self._ns.pop(route, 0)


@types.coroutine
def metered(work: Coroutine[Any, Any, T], meter: Meter) -> Generator[Any, Any, T]:
    """Await ``work``, metering each of its steps.

    The time of the whole process would not do: other calls run while this one waits, and each
    would be charged for all.
    """
    given: Any = None
    raised: BaseException | None = None
    while True:
        meter.start()
        try:
            waiting = work.send(given) if raised is None else work.throw(raised)
        except StopIteration as ended:
            result: T = ended.value
            return result
        finally:
            meter.stop()
        given = raised = None
        try:
            given = yield waiting
        except BaseException as error:  # noqa: BLE001  (handed on, whatever it is)
            raised = error
