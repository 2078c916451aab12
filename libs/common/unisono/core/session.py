"""A session as its devices know it: what plays, who leads, in which term, when it starts."""

from dataclasses import dataclass, field
from enum import StrEnum

from unisono.core.timeline import Playlist


class Role(StrEnum):
    """What a device does in a term."""

    MASTER = "master"
    FOLLOWER = "follower"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a session and where its LAN ports are."""

    device_id: str
    address: str
    beacon_port: int
    probe_port: int


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """All that ``SYNC_PREPARE`` says; one frozen value from the cloud to every local process.

    ``term`` grows by one at each change of master. ``secret_hex`` is the session's secret, from
    which the key of each term is derived. ``flags`` holds the site's ``SYNC_*`` values as text.
    """

    session_id: str
    term: int
    master_device_id: str
    members: tuple[Member, ...]
    playlist: Playlist
    start_at_ms: int
    secret_hex: str
    flags: dict[str, str] = field(default_factory=dict)
    flags_version: int = 0
    successors: tuple[str, ...] = ()

    def role_of(self, device_id: str) -> Role:
        """The role of ``device_id`` in this term."""
        if device_id == self.master_device_id:
            return Role.MASTER
        known = any(member.device_id == device_id for member in self.members)
        return Role.FOLLOWER if known else Role.IDLE

    def member(self, device_id: str) -> Member | None:
        """The member of that id, if it takes part."""
        return next((m for m in self.members if m.device_id == device_id), None)


@dataclass(frozen=True, slots=True)
class Desired:
    """What the cloud last asked of this device; no session means: stopped.

    ``revision`` orders two values of the same device: the higher one is newer.
    """

    revision: int
    session: SessionSpec | None
