"""What goes into a decision on a device's call, and what comes out of it."""

from dataclasses import dataclass

from services.control_plane.devices.bodies import Reply
from unisono.core.site_document import Decision


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, when, and the hash of the secret by which it was let in."""

    site: str
    device_id: str
    secret_sha256: str
    now_ms: int
    fresh_secret: str  # drawn for this call, should it need one


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply, and what must be durable before it is given."""

    reply: Reply
    decision: Decision
