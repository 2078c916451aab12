"""What devices and operators send and get: the JSON of the API, with examples."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.control_plane.tokens import NAME

NAME_PATTERN = f"^{NAME.pattern}$"
MAX_NUMBER = 2**53  # what every JSON reader can hold
MAX_TERM = 2**31 - 1

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(max_length=256)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
Term = Annotated[int, Field(ge=0, le=MAX_TERM)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_NUMBER / 1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PathName = Annotated[str, Field(max_length=32)]


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


class EnrolRequest(Model):
    """A device joins its site with a one-time token; it may wish for an id."""

    token: str = Field(max_length=128, examples=["lobby.5Ck1tN0v9xw"])
    device_id: Name | None = Field(default=None, examples=["screen-1"])


class EnrolReply(BaseModel):
    """The device's identity. The secret is shown this once."""

    device_id: str = Field(examples=["screen-1"])
    site: str = Field(examples=["lobby"])
    secret: str = Field(examples=["lobby.d1f7S0mFq3w"])


class HeartbeatRequest(Model):
    """Where a device is and what it holds; ``revision`` is that of its newest command."""

    address: str = Field(max_length=64, examples=["192.168.1.21"])
    beacon_port: Port = Field(examples=[7600])
    probe_port: Port = Field(examples=[7601])
    player: Text = Field(default="", examples=["playing"])
    version: Text = Field(default="", examples=["0.1.0"])
    session_id: Text = Field(default="", examples=["lobby-3f9a2c1d05"])
    term: Term = Field(default=0, examples=[1])
    revision: Count = Field(default=0, examples=[1780000000000])
    mode: Text = Field(default="", examples=["lan"])
    interval_s: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        examples=[5.0],
        description="How often it sends heartbeats; three of them are its lease, at least",
    )
    boot_id: Text = Field(
        default="",
        examples=["6f0c1d6e-6c1b-4c62-9b62-1f6b1d0a7c11"],
        description="Its kernel's id of this boot; when the master's changes, a new term begins",
    )


class SessionHint(BaseModel):
    """The session that a device should be in; "": none. ``revision`` orders what is asked."""

    server_time_ms: int = Field(examples=[1780000001234])
    session_id: str = Field(default="", examples=["lobby-3f9a2c1d05"])
    state: str = Field(default="", examples=["playing"])
    term: int = Field(default=0, examples=[1])
    revision: int = Field(default=0, examples=[1780000000000])
    next_poll_s: float | None = Field(
        default=None, description="When to call next; null: at the device's own interval"
    )


class Drift(Model):
    """Drift over the time since the last report, ms: ``mean`` signed, the others of |drift|."""

    count: Count = Field(examples=[10])
    mean: Number | None = Field(default=None, examples=[-0.02])
    mean_abs: Number | None = Field(default=None, examples=[0.05])
    p50: Number | None = None
    p95: Number | None = Field(default=None, examples=[0.2])
    p99: Number | None = None
    max: Number | None = Field(default=None, examples=[0.4])
    within_50ms_ratio: Number | None = Field(default=None, examples=[1.0])


class Lan(Model):
    """What the device's beacon process says of the LAN; its counters begin with that process."""

    active: bool = Field(description="Whether its timing comes from the LAN now")
    path: PathName = Field(default="", examples=["udp"], description='"": none, or it is master')
    beacons_received: Count = Field(default=0, examples=[12000])
    beacons_lost: Count = Field(default=0, examples=[3], description="By all paths together")
    bound_ms: Milliseconds | None = Field(default=None, examples=[0.2])
    rtt_ms: Milliseconds | None = Field(default=None, examples=[0.4])
    lost_ratio_by_path: dict[PathName, Share] = Field(
        default_factory=dict,
        max_length=8,
        examples=[{"udp": 0.01}],
        description="Of the last minute, and only paths that were in use",
    )


class StatusRequest(Model):
    """How a device plays; ``lan`` is null when nothing is known of it."""

    session_id: Text = Field(default="", examples=["lobby-3f9a2c1d05"])
    term: Term = Field(default=0, examples=[1])
    role: Text = Field(default="", examples=["follower"])
    mode: Text = Field(default="", examples=["lan"])
    player_state: Text = Field(default="", examples=["playing"])
    drift_ms: Drift = Field(default_factory=lambda: Drift(count=0))
    speed: Number = Field(default=1.0, examples=[1.0])
    seeks: Count = Field(default=0, examples=[0])
    fault: str = Field(default="", max_length=1024)
    lan: Lan | None = None


class CommandBody(BaseModel):
    """One command; ``session`` is all that a device needs to play, in a ``SYNC_PREPARE``."""

    command_id: str = Field(examples=["lobby-3f9a2c1d05.1780000000000.prepare"])
    kind: str = Field(examples=["SYNC_PREPARE"])
    seq: int = Field(examples=[1780000000000])
    issued_ms: int = Field(examples=[1780000000000])
    expires_ms: int = Field(examples=[1780003600000])
    session_id: str = Field(examples=["lobby-3f9a2c1d05"])
    term: int = Field(examples=[1])
    session: dict[str, Any] | None = Field(
        default=None,
        examples=[
            {
                "session_id": "lobby-3f9a2c1d05",
                "term": 1,
                "master_device_id": "screen-1",
                "members": [
                    {
                        "device_id": "screen-1",
                        "address": "192.168.1.21",
                        "beacon_port": 7600,
                        "probe_port": 7601,
                    }
                ],
                "playlist": {
                    "items": [{"uri": "film.mp4", "duration_ns": 60_000_000_000, "fingerprint": ""}]
                },
                "start_at_ms": 1780000005000,
                "secret_hex": "5e…(32 bytes)",
                "flags": {"SYNC_LAN_ENABLED": "1"},
            }
        ],
    )


class CommandsReply(BaseModel):
    """The commands that are due, in order."""

    server_time_ms: int = Field(examples=[1780000001234])
    commands: list[CommandBody]
    next_poll_s: float | None = None


class AckRequest(Model):
    """How a command ended."""

    outcome: Literal["done", "failed"]
    detail: str = Field(default="", max_length=1024)


class AckReply(BaseModel):
    """The ack as kept; the first one counts."""

    command_id: str
    outcome: str = Field(examples=["done"])


class TokensRequest(Model):
    """How many one-time tokens to make, and how long they are good for."""

    count: int = Field(default=1, ge=1, le=100)
    ttl_s: int = Field(default=86_400, ge=1, le=30 * 86_400)


class TokensReply(BaseModel):
    """The tokens, shown this once."""

    tokens: list[str] = Field(examples=[["lobby.5Ck1tN0v9xw"]])
    expires_ms: int = Field(examples=[1780086400000])


class Film(Model):
    """One film of a playlist. ``uri`` is what the devices' players open."""

    uri: str = Field(min_length=1, max_length=2048, examples=["film.mp4"])
    duration_ms: float = Field(gt=0, le=MAX_NUMBER / 1e6, allow_inf_nan=False, examples=[60000])
    fingerprint: Text = ""


class SessionRequest(Model):
    """A session to start. Without ``device_ids``: every device of the site."""

    site: Name = Field(examples=["lobby"])
    device_ids: list[Name] | None = Field(
        default=None, max_length=1000, examples=[["screen-1", "screen-2"]]
    )
    playlist: list[Film] = Field(max_length=1000)
    start_delay_ms: int = Field(default=5000, ge=0, le=86_400_000)
    replace: bool = Field(default=False, description="Stop the sessions that are in the way")
    master: Name | None = Field(default=None, description="Pin the master; null: elect one")
    flags: dict[str, bool | int | float | Text] = Field(
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


class SessionBody(BaseModel):
    """A session as operators see it."""

    session_id: str = Field(examples=["lobby-3f9a2c1d05"])
    site: str = Field(examples=["lobby"])
    state: str = Field(examples=["playing"])
    term: int = Field(examples=[1])
    term_reason: str = Field(examples=["created"], description="Why the term began")
    master_device_id: str = Field(examples=["screen-1"])
    revision: int
    members: list[MemberBody]
    playlist: list[Film]
    start_at_ms: int = Field(examples=[1780000005000])
    created_ms: int
    ended_ms: int | None = None
    end_reason: str = ""
    flags: dict[str, str]


class DeviceBody(BaseModel):
    """A device: its last heartbeat and its last sync status, null before the first."""

    device_id: str
    seen_ms: int | None
    heartbeat: dict[str, Any] | None
    status: dict[str, Any] | None


class SiteBody(BaseModel):
    """A site: its devices and the sessions that run."""

    site: str
    server_time_ms: int
    devices: list[DeviceBody]
    sessions: list[SessionBody]


class HealthBody(BaseModel):
    """``ok`` when the store answers."""

    status: str = Field(examples=["ok"])
    version: str
