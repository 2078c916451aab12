"""What operators send and get of sites, sessions, flags and devices: the JSON, with examples."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from services.control_plane.gate.tokens import NAME
from unisono.state.paging import PATTERN as CURSOR

NAME_PATTERN = f"^{NAME.pattern}$"
MAX_NUMBER = 2**53  # what every JSON reader can hold
MAX_DEVICES = 1000
MAX_FILMS = 1000
DAY_MS = 86_400_000

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=32)]
Text = Annotated[str, Field(max_length=256)]
FlagValue = bool | int | float | Text
Site = Annotated[str, Path(pattern=NAME_PATTERN, examples=["lobby"])]
DeviceId = Annotated[str, Path(pattern=NAME_PATTERN, examples=["screen-1"])]
SessionId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,80}$", examples=["lobby-3f9a2c1d05"])]
Before = Annotated[
    str,
    Query(pattern=CURSOR, description="`next` of the page before", examples=["1780000000000.1"]),
]
TimeMs = Annotated[int, Query(ge=0, le=MAX_NUMBER)]


class Model(BaseModel):
    """Unknown fields are refused: a misspelt one must not pass in silence."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    """``code`` is for programs, ``message`` is one sentence for people."""

    code: str = Field(examples=["unknown_session"])
    message: str = Field(examples=["no session lobby-00c0ffee00 runs at this site"])


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


# By reference, and not as models: FastAPI would build a validator for each status of each route,
# which is most of what it takes to start a function. `HealthBody`'s route brings the schema.
_REFUSED = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": "Refused", "content": _REFUSED}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


class HealthBody(BaseModel):
    """``ok`` when the store answers."""

    status: str = Field(examples=["ok"])
    version: str


class Done(BaseModel):
    """It is done; there is nothing more to say."""


class Film(Model):
    """One film of a playlist. ``uri`` is what the devices' players open."""

    uri: str = Field(min_length=1, max_length=2048, examples=["film.mp4"])
    duration_ms: float = Field(gt=0, le=MAX_NUMBER / 1e6, allow_inf_nan=False, examples=[60000])
    fingerprint: Text = ""


class SessionRequest(Model):
    """A session to start. Without ``device_ids``: every device of the site."""

    site: Name = Field(examples=["lobby"])
    device_ids: list[Name] | None = Field(
        default=None, max_length=MAX_DEVICES, examples=[["screen-1", "screen-2"]]
    )
    playlist: list[Film] = Field(max_length=MAX_FILMS)
    start_delay_ms: int = Field(default=5000, ge=0, le=DAY_MS)
    replace: bool = Field(default=False, description="Stop the sessions that are in the way")
    master: Name | None = Field(default=None, description="Pin the master; null: elect one")
    flags: dict[str, FlagValue] = Field(
        default_factory=dict, max_length=100, examples=[{"SYNC_LAN_ENABLED": True}]
    )


class MasterRequest(Model):
    """Who shall lead; null: the next in line."""

    device_id: Name | None = None


class MemberBody(BaseModel):
    """A member and its place on the LAN."""

    device_id: str
    address: str
    beacon_port: int
    probe_port: int


class ProgressBody(BaseModel):
    """How many of the members have answered the session's newest command, and how."""

    done: int
    failed: int
    members: int


class SessionBody(BaseModel):
    """A session as operators see it."""

    session_id: str = Field(examples=["lobby-3f9a2c1d05"])
    site: str = Field(examples=["lobby"])
    state: str = Field(examples=["playing"])
    term: int = Field(examples=[1])
    term_reason: str = Field(examples=["created"], description="Why the term began")
    master_device_id: str = Field(examples=["screen-1"])
    successors: list[str] = Field(description="Who leads next, in this order")
    pinned: str = Field(description='The master that an operator has pinned; "": none')
    revision: int
    progress: ProgressBody
    members: list[MemberBody]
    playlist: list[Film]
    start_at_ms: int = Field(examples=[1780000005000])
    created_ms: int
    created_by: str = Field(examples=["ana"])
    ended_ms: int | None = None
    end_reason: str = ""
    flags: dict[str, str] = Field(description="Those that the session was asked for with")
    flags_version: int


class SessionsBody(BaseModel):
    """Sessions: those that run first, then those that are over, the newest first."""

    sessions: list[SessionBody]


class SessionLine(BaseModel):
    """A session in one line."""

    session_id: str
    state: str
    term: int
    master_device_id: str


class SiteLine(BaseModel):
    """A site in one line."""

    site: str
    devices: int
    devices_seen: int
    sessions: list[SessionLine]


class SitesBody(BaseModel):
    """The sites that the caller may see; ``next``: `after` of the next page, null at the end."""

    sites: list[SiteLine]
    next: str | None


class DeviceBody(BaseModel):
    """A device: what it last said of itself and how it plays, null before the first time.

    ``flags`` are the values that hold for it beside the defaults.
    """

    device_id: str
    enrolled_ms: int
    seen_ms: int | None
    online: bool = Field(description="It was heard of within three of its heartbeats")
    rotating: bool = Field(description="It is to fetch a new secret")
    heartbeat: dict[str, Any] | None
    status: dict[str, Any] | None
    session_id: str = Field(description='The session that it should play; "": none')
    role: str = Field(examples=["master"])
    last_ack: dict[str, Any] | None
    flags: dict[str, str]


class CountersBody(BaseModel):
    """What happened at a site so far; invocations are calls answered, by day (UTC).

    ``device_calls`` are those of devices alone.
    """

    failovers: int
    fallbacks: int
    invocations_today: int
    invocations_yesterday: int
    device_calls_today: int
    device_calls_yesterday: int


class SiteBody(BaseModel):
    """A site: its devices and the sessions that run."""

    site: str
    server_time_ms: int
    flags_version: int
    devices: list[DeviceBody]
    sessions: list[SessionBody]
    counters: CountersBody


class DriftBody(BaseModel):
    """Of each device its points, oldest first: time, mean, largest |drift| (ms), mode, term."""

    server_time_ms: int
    devices: dict[str, list[tuple[int, float, float, str, int]]]


class EventBody(BaseModel):
    """Something that happened; ``who`` is the account or token that did it, "" for nobody."""

    kind: str = Field(examples=["failover"])
    at_ms: int
    session_id: str
    term: int
    device_id: str
    who: str
    detail: str


class EventsBody(BaseModel):
    """Events, newest first; ``next``: `before` of the next page, null at the end."""

    events: list[EventBody]
    next: str | None


class DeviceDay(BaseModel):
    """The drift of one device over a day; null where it played nothing."""

    samples: int
    mean_abs_ms: float | None
    max_ms: float | None
    within_50ms_ratio: float | None


class DayBody(BaseModel):
    """One day (UTC) of a site in figures."""

    date: str = Field(examples=["2026-05-28"])
    invocations: int = Field(description="Calls answered, of devices and of everybody else")
    invocations_by_hour: list[int]
    device_calls: int = Field(description="Those of devices alone")
    cpu_s: float
    fallbacks: int
    failovers: int
    sessions_completed: int
    sessions_failed: int
    devices: dict[str, DeviceDay]


class KpisBody(BaseModel):
    """Days, the newest last."""

    days: list[DayBody]


class TelemetryBody(BaseModel):
    """What a device has delivered, newest first; ``next``: `before` of the next page, or null."""

    items: list[dict[str, Any]]
    next: str | None


class TokensRequest(Model):
    """How many one-time tokens to make, and how long they are good for."""

    count: int = Field(default=1, ge=1, le=100)
    ttl_s: int = Field(default=86_400, ge=1, le=30 * 86_400)


class TokensReply(BaseModel):
    """The tokens, shown this once."""

    tokens: list[str] = Field(examples=[["lobby.5Ck1tN0v9xw"]])
    expires_ms: int = Field(examples=[1780086400000])


class RevokedBody(BaseModel):
    """Who was removed, and from which session ("": from none)."""

    device_id: str
    session_id: str
