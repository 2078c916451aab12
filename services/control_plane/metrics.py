"""``/metrics``: Prometheus text made from counters in Redis; nothing is counted in this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unisono.core.control_session import state_at
from unisono.core.site_document import SessionState
from unisono.state.documents import NO_SITE, SiteView

# A device counts as seen if it called within this time: a dozen heartbeats at the default.
SEEN_WITHIN_MS = 60_000


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


REQUESTS = Metric(
    "unisono_control_requests_total",
    "counter",
    ("site", "route", "status"),
    "Requests answered (invocations)",
)
EVENTS = Metric(
    "unisono_control_events_total",
    "counter",
    ("site", "event"),
    "Sessions created and stopped, failovers, commands done and failed",
)
SESSIONS = Metric("unisono_control_sessions", "gauge", ("site", "state"), "Sessions that run")
DEVICES = Metric("unisono_control_devices", "gauge", ("site",), "Devices enrolled")
SEEN = Metric(
    "unisono_control_devices_seen", "gauge", ("site",), "Devices that called in the last minute"
)
TABLE = (REQUESTS, EVENTS, SESSIONS, DEVICES, SEEN)

Sample = tuple[tuple[str, ...], int]


def render(views: Mapping[str, SiteView], now_ms: int) -> str:
    """The text for these sites; `NO_SITE` stands for requests that belong to none."""
    samples: dict[Metric, list[Sample]] = {metric: [] for metric in TABLE}
    for site, view in views.items():
        _collect(samples, site, view, now_ms)
    lines: list[str] = []
    for metric, values in samples.items():
        lines.append(f"# HELP {metric.name} {metric.meaning}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [f"{metric.name}{_labels(metric.labels, words)} {n}" for words, n in values]
    return "\n".join(lines) + "\n"


def _collect(samples: dict[Metric, list[Sample]], site: str, view: SiteView, now_ms: int) -> None:
    for name, count in sorted(view.requests.items()):
        route, _, status = name.rpartition(" ")
        samples[REQUESTS].append(((site, route, status), count))
    for name, count in sorted(view.events.items()):
        samples[EVENTS].append(((site, name), count))
    if site == NO_SITE:
        return
    states = [state_at(record, now_ms) for record in view.site.sessions]
    for state in (SessionState.PREPARING, SessionState.PLAYING):
        samples[SESSIONS].append(((site, state.value), states.count(state)))
    seen = sum(now_ms - at_ms <= SEEN_WITHIN_MS for at_ms in view.seen_ms.values())
    samples[DEVICES].append(((site,), len(view.devices)))
    samples[SEEN].append(((site,), seen))


def _labels(names: Sequence[str], words: Sequence[str]) -> str:
    pairs = (f'{name}="{_escape(word)}"' for name, word in zip(names, words, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
