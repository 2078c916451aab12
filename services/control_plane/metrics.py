"""``/metrics``: Prometheus text made from counters in Redis; nothing is counted in this process.

What can be counted is there from the start, at zero: a rate over a counter that appears with
its first event misses that event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.control_plane.gate.roles import TABLE as ROUTES
from services.control_plane.gate.roles import Role, Scope
from services.control_plane.operators.audit import ACCOUNT_EVENTS, SITE_EVENTS
from unisono.core.control_session import state_of
from unisono.core.event_kinds import EVENT_KINDS, FALLBACK
from unisono.core.session_state import Progress, SessionState
from unisono.state.documents import NO_SITE, SiteView

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

Sample = tuple[Metric, tuple[str, ...], int | float]


def render(views: Mapping[str, SiteView], now_ms: int) -> str:
    """The text for these sites; `NO_SITE` stands for requests that belong to none."""
    lines: dict[Metric, list[str]] = {metric: [] for metric in TABLE}
    for site, view in views.items():
        for metric, words, value in _samples(site, view, now_ms):
            lines[metric].append(f"{metric.name}{_labels(metric.labels, words)} {value}")
    text: list[str] = []
    for metric, found in lines.items():
        text += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
        text += found
    return "\n".join(text) + "\n"


def _samples(site: str, view: SiteView, now_ms: int) -> Iterator[Sample]:
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
    yield DEVICES, (site,), len(view.devices)
    times_ms = (view.seen_ms.get(device_id) for device_id in view.devices)
    seen = sum(at_ms is not None and now_ms - at_ms <= SEEN_WITHIN_MS for at_ms in times_ms)
    yield SEEN, (site,), seen


def _counters(site: str, view: SiteView) -> Iterator[Sample]:
    routes = {rule.route: rule.success for rule in ROUTES if _belongs(rule.who, rule.scope, site)}
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


def _belongs(who: frozenset[Role], scope: Scope, site: str) -> bool:
    """Whether the successful calls of such a route are counted at that site."""
    of_a_site = scope is Scope.SITE or (Role.DEVICE in who and scope is Scope.OWN)
    return of_a_site != (site == NO_SITE)


def _labels(names: Sequence[str], words: Sequence[str]) -> str:
    pairs = (f'{name}="{_escape(word)}"' for name, word in zip(names, words, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
