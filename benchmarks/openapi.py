"""``python -m benchmarks.openapi --cases 10000``: the API, asked what its own schema allows, and
what it does not.

Cases are drawn from ``/openapi.json`` of a real server over a real Redis, as nobody, device,
operator and administrator, by token and by cookie. Whatever is asked: no answer is a 5xx, and each
is one of those that the schema names, of the type and shape that it says.
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.control_plane import (
    ADMIN,
    FILM,
    OPERATOR,
    ControlPlane,
    Time,
    as_device,
    running_control_plane,
)
from tests.support.redis_server import start_redis

SITE = "lobby"
DEVICES = 3
# A second passes with each call, so that no limit of calls is met.
STEP_MS = 1000
# So often a path names something that is there.
KNOWN_SHARE = 0.7
REFRESH_CASES = 40
OK = 200
START_S = 20
# Some operations have few cases to draw; what is left over then goes to all of them anew.
TURNS = 5
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was asked and came back wrong; the first of its kind."""

    operation: str
    why: str
    asked: str
    answered: str


@dataclass
class Report:
    """How many cases were asked, what came back, and what was wrong with it."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)


class Clock(Time):
    """Server time that a call moves."""

    def __call__(self) -> int:
        """UTC since the epoch, ms."""
        self.ms += STEP_MS
        return self.ms


class World:
    """Things that are there, so that calls get somewhere: devices, a session, an account."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._names = itertools.count()
        self.bearers: list[str] = []
        self.known: dict[str, list[str]] = {}
        self.browser: dict[str, str] = {}
        asyncio.run(self.refresh())

    async def refresh(self) -> None:
        """Make anew what calls have ended or removed."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            cloud = ControlPlane(self._url, http)
            fresh = f"screen-{next(self._names)}"
            self.bearers = [*self.bearers, await cloud.enrol(fresh, SITE)][-DEVICES:]
            alive = [bearer for bearer in self.bearers if await self._beat(http, bearer)]
            self.bearers = alive
            names = [bearer.partition(".")[0] for bearer in alive]
            body = {"site": SITE, "playlist": [FILM], "device_ids": names, "replace": True}
            session = await http.post("/v1/sessions", json=body, headers=OPERATOR)
            account = {"name": "ana", "role": "operator", "password": "a long enough one, 27"}
            await http.post("/v1/accounts", json=account, headers=ADMIN)
            waiting = await cloud.commands(alive[-1])
        await self.log_in()
        self.known = {
            "site": [SITE],
            "device_id": names,
            "name": ["ana"],
            "session_id": [session.json().get("session_id", "none")],
            "command_id": [command["command_id"] for command in waiting] or ["none"],
        }

    async def log_in(self) -> None:
        """Have somebody logged in, whose account no case is pointed at."""
        typed = {"name": "browser", "password": "a long enough one, 27"}
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            if (await http.get("/v1/me", headers=self.browser)).is_success:
                return
            reply = await http.post("/v1/login", json=typed)
            if not reply.is_success:
                await http.post("/v1/accounts", json={**typed, "role": "admin"}, headers=ADMIN)
                reply = await http.post("/v1/login", json=typed)
        if reply.is_success:
            cookies = "; ".join(f"{name}={value}" for name, value in reply.cookies.items())
            self.browser = {"Cookie": cookies, "X-CSRF-Token": reply.json()["csrf"]}

    async def _beat(self, http: httpx.AsyncClient, bearer: str) -> bool:
        body = {"address": "10.0.0.1", "beacon_port": 7600, "probe_port": 7601}
        reply = await http.post("/v1/device/heartbeat", json=body, headers=as_device(bearer))
        return reply.is_success

    def credentials(self, chance: random.Random, path: str) -> dict[str, str]:
        """A header of somebody; mostly of one who may ask for that path."""
        device = as_device(chance.choice(self.bearers))
        no_csrf = {"Cookie": self.browser["Cookie"]} if self.browser else {}
        wrong = as_device("screen-1.lobby.wrong")
        everybody = [{}, device, OPERATOR, ADMIN, self.browser, no_csrf, wrong]
        if chance.random() > KNOWN_SHARE:
            return chance.choice(everybody)
        is_devices = path.startswith(("/v1/device", "/v1/sync"))
        return device if is_devices else chance.choice([OPERATOR, ADMIN, self.browser])


@dataclass
class Asking:
    """One run: of whom, as whom, and what came of it."""

    url: str
    world: World
    chance: random.Random
    report: Report = field(default_factory=Report)

    def turn(self, operation: Any, each: int, seed_of_turn: int) -> None:
        """Ask so many cases of one operation that fit its schema, and as many that do not."""
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(seed_of_turn)
            @settings(
                max_examples=each,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                self._ask(case)

            with contextlib.suppress(Unsatisfiable):  # it takes nothing that could be wrong
                one()

    def _ask(self, case: Any) -> None:
        report, chance, known = self.report, self.chance, self.world.known
        if report.cases % REFRESH_CASES == REFRESH_CASES - 1:
            asyncio.run(self.world.refresh())
        for name in case.path_parameters or {}:
            if name in known and chance.random() < KNOWN_SHARE:
                case.path_parameters[name] = chance.choice(known[name])
        headers = self.world.credentials(chance, case.operation.path)
        if headers:
            _undress(case)
        response = case.call(base_url=self.url, headers=headers, timeout=START_S)
        report.cases += 1
        report.statuses[response.status_code] += 1
        if case.operation.path == "/v1/logout" and response.status_code == OK:
            asyncio.run(self.world.log_in())
        try:
            case.validate_response(response, checks=CHECKS, headers=headers)
        except (FailureGroup, Failure) as error:
            failures = error.exceptions if isinstance(error, FailureGroup) else [error]
            for failure in failures:
                _note(report, case, headers, response, failure)


def _undress(case: Any) -> None:
    """Take off the credentials that were made up: with them, good ones would not be looked at."""
    for name in list(case.headers or {}):
        if name.lower() in {"authorization", "cookie", "x-csrf-token"}:
            del case.headers[name]
    for name in list(case.cookies or {}):
        del case.cookies[name]


def ask(url: str, cases: int, seed_of_all: int) -> Report:
    """Ask so many cases, spread over all operations, those that fit the schema and those not."""
    asking = Asking(url, World(url), random.Random(seed_of_all))
    served = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(_without_tuples(served))
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    for turn in range(TURNS):
        left = cases - asking.report.cases
        each = -(-left // (2 * len(operations)))
        for operation in operations if left > 0 else ():
            asking.turn(operation, each, seed_of_all + turn)
    return asking.report


def _without_tuples(schema: Any) -> Any:
    """The schema with arrays of any of their items' kinds, where it says the kind of each item.

    schemathesis turns ``prefixItems`` into a form that its own validator refuses.
    """
    if isinstance(schema, list):
        return [_without_tuples(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_tuples(part) for name, part in schema.items()}
    if "prefixItems" in plain:
        plain["items"] = {"anyOf": plain.pop("prefixItems")}
    return plain


def _note(report: Report, case: Any, headers: Any, response: Any, failure: Any) -> None:
    why = getattr(failure, "title", type(failure).__name__)
    key = (case.operation.label, f"{why} {response.status_code}")
    asked = case.as_curl_command(headers)
    text = f"{response.status_code} {response.text[:300]} ({str(failure)[:300]})"
    report.findings.setdefault(key, Finding(*key, asked, text))


@contextlib.contextmanager
def serving(redis_url: str) -> Iterator[str]:
    """A real server in a thread of its own, with a clock that its calls move; its URL."""
    started = threading.Event()
    stop: list[Any] = []
    urls: list[str] = []

    async def serve() -> None:
        leave = asyncio.Event()
        stop.append((asyncio.get_running_loop(), leave))
        async with running_control_plane(redis_url, Clock()) as cloud:
            urls.append(cloud.url)
            started.set()
            await leave.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    if not started.wait(START_S):
        raise RuntimeError("the control plane did not start")
    try:
        yield urls[0]
    finally:
        loop, leave = stop[0]
        loop.call_soon_threadsafe(leave.set)
        thread.join()


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, tell what was found; 1 when something was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.openapi")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    with start_redis() as server, serving(server.url) as url:
        report = ask(url, arguments.cases, arguments.seed)
    print(f"{report.cases} cases: {dict(sorted(report.statuses.items()))}")
    for finding in report.findings.values():
        print(f"{finding.operation}: {finding.why}\n  {finding.asked}\n  {finding.answered}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
