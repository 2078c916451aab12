"""What operators send and get of flags: the JSON, with examples."""

from pydantic import BaseModel, Field

from services.control_plane.operators.bodies import FlagValue, Model, Name, Text


class FlagsRequest(Model):
    """Flags to set, or (null) to remove; of one device, or of the site."""

    values: dict[str, FlagValue | None] = Field(
        min_length=1, max_length=100, examples=[{"SYNC_LAN_ENABLED": True}]
    )
    device_id: Name | None = Field(default=None, description="null: the whole site")
    why: Text = Field(min_length=1, examples=["canary of the LAN mode"])


class FlagChange(BaseModel):
    """One change of flags; ``device_id`` is "" where it was the site's."""

    version: int
    at_ms: int
    who: str
    device_id: str
    values: dict[str, str | None]
    why: str


class FlagsBody(BaseModel):
    """The values that are set, and the last changes, newest first."""

    version: int
    site: dict[str, str]
    devices: dict[str, dict[str, str]]
    history: list[FlagChange]
