"""``/metrics``: Prometheus text made from counters in Redis; nothing is counted in this process.

What devices and events can count is there from the start, at zero: a rate over a counter that
appears with its first event misses that event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.control_plane.gate.roles import DEVICE_ROUTES, Scope
from services.control_plane.gate.roles import TABLE as ROUTES
from services.control_plane.operators.audit import ACCOUNT_EVENTS, SITE_EVENTS
from unisono.core.control_session import state_of
from unisono.core.event_kinds import EVENT_KINDS, FALLBACK
from unisono.core.session_state import Progress, SessionState
from unisono.state.documents import NO_SITE, SiteCounters

# A device counts as seen if it called within this time: a dozen heartbeats at the default.
SEEN_WITHIN_MS = 60_000
RUNNING = (
    SessionState.PREPARING,
    SessionState.WARMUP,
    SessionState.PLAYING,
    SessionState.STOPPING,
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def _counter(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(f"unisono_control_{name}", "counter", labels, meaning)


def _gauge(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(f"unisono_control_{name}", "gauge", labels, meaning)


REQUESTS = _counter(
    "requests_total", ("site", "route", "status"), "Requests answered, by route and status"
)
INVOCATIONS = _counter("invocations_total", ("site",), "Requests answered")
CPU = _counter("cpu_seconds_total", ("site", "route"), "CPU time of the requests, seconds")
EVENTS = _counter("events_total", ("site", "event"), "What happened, by kind")
FAILOVERS = _counter("failovers_total", ("site",), "Leads that moved by themselves")
FALLBACKS = _counter("fallbacks_total", ("site",), "Devices that fell back from the LAN")
SESSIONS = _gauge("sessions", ("site", "state"), "Sessions that run")
DEVICES = _gauge("devices", ("site",), "Devices enrolled")
SEEN = _gauge("devices_seen", ("site",), "Devices that called in the last minute")
TABLE = (
    *(REQUESTS, INVOCATIONS, CPU, EVENTS, FAILOVERS, FALLBACKS),
    *(SESSIONS, DEVICES, SEEN),
)

# What is there at zero, with the status of success: at each site what its devices call, and once
# what belongs to no site. What operators call of a site is there from its first call on: of a
# thousand sites those zeros alone would be megabytes.
_OF_DEVICES = {rule.route: rule.success for rule in ROUTES if rule.route in DEVICE_ROUTES}
_OF_NO_SITE = {
    rule.route: rule.success
    for rule in ROUTES
    if rule.route not in DEVICE_ROUTES and rule.scope is not Scope.SITE
}

Sample = tuple[Metric, tuple[str, ...], int | float]


class Page:
    """The text, put together site by site: with many sites others are to be served meanwhile."""

    def __init__(self) -> None:
        self._lines: dict[Metric, list[str]] = {metric: [] for metric in TABLE}

    def add(self, site: str, counters: SiteCounters, now_ms: int) -> None:
        """Add one site; `NO_SITE` stands for requests that belong to none."""
        for metric, words, value in _samples(site, counters, now_ms):
            labels = _labels(metric.labels, words)
            self._lines[metric].append(f"{metric.name}{labels} {value}")

    def text(self) -> str:
        """All of it."""
        text: list[str] = []
        for metric, found in self._lines.items():
            text += [
                f"# HELP {metric.name} {metric.meaning}",
                f"# TYPE {metric.name} {metric.kind}",
                *found,
            ]
        return "\n".join(text) + "\n"


def _samples(site: str, view: SiteCounters, now_ms: int) -> Iterator[Sample]:
    yield from _counters(site, view)
    if site == NO_SITE:
        return
    for kind, metric in (("failover", FAILOVERS), (FALLBACK, FALLBACKS)):
        yield metric, (site,), view.events.get(kind, 0)
    states = [
        state_of(record, view.progress.get(record.spec.session_id, Progress()), now_ms)
        for record in view.site.sessions
    ]
    for state in RUNNING:
        yield SESSIONS, (site, state.value), states.count(state)
    yield DEVICES, (site,), len(view.device_ids)
    times_ms = (view.seen_ms.get(device_id) for device_id in view.device_ids)
    seen = sum(at_ms is not None and now_ms - at_ms <= SEEN_WITHIN_MS for at_ms in times_ms)
    yield SEEN, (site,), seen


def _counters(site: str, view: SiteCounters) -> Iterator[Sample]:
    routes = _OF_NO_SITE if site == NO_SITE else _OF_DEVICES
    requests = {f"{route} {status}": 0 for route, status in routes.items()} | dict(view.requests)
    for name, count in sorted(requests.items()):
        route, _, status = name.rpartition(" ")
        yield REQUESTS, (site, route, status), count
    yield INVOCATIONS, (site,), sum(view.requests.values())
    for route, used_us in sorted((dict.fromkeys(routes, 0) | dict(view.cpu_us)).items()):
        yield CPU, (site, route), used_us / 1e6
    kinds = ACCOUNT_EVENTS if site == NO_SITE else (*EVENT_KINDS, *SITE_EVENTS)
    for kind, count in sorted((dict.fromkeys(kinds, 0) | dict(view.events)).items()):
        yield EVENTS, (site, kind), count


def _labels(names: Sequence[str], words: Sequence[str]) -> str:
    pairs = (f'{name}="{_escape(word)}"' for name, word in zip(names, words, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
