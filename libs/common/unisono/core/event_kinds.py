"""What can happen at a site, by name: the kinds of `SiteEvent`, as counted and logged."""

# Of sessions, devices and accounts, as the control plane decides or is told.
CLOUD_EVENTS = (
    "session_created",
    "session_replaced",
    "session_stopped",
    "session_ended",
    "session_failed",
    "failover",
    "master_changed",
    "master_restarted",
    "member_moved",
    "member_removed",
    "reissued",
    "identity_shared",
    "claim_refused",
    "flags_changed",
    "device_enrolled",
    "device_revoked",
    "secret_rotated",
    "command_done",
    "command_failed",
)

# Of a device's telemetry: what it saw itself.
FALLBACK = "fallback"
DEVICE_EVENTS = ("lan", "holdover", FALLBACK, "role", "seek", "fault", "telemetry_lost")
OTHER_EVENT = "device_event"

EVENT_KINDS = (*CLOUD_EVENTS, *DEVICE_EVENTS, OTHER_EVENT)


def device_event(name: str) -> str:
    """The kind under which a device's event is counted: one of the table, whatever it says."""
    return name if name in DEVICE_EVENTS else OTHER_EVENT
