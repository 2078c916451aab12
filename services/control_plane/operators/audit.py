"""What people change is written down: when, who, what; never a password, secret or token."""

from services.control_plane.context import Context
from services.control_plane.gate.access import Caller
from unisono.core.site_document import SiteEvent
from unisono.state import keys

# Of accounts; they belong to no site.
ACCOUNT_EVENTS = (
    "account_created",
    "account_changed",
    "account_removed",
    "password_changed",
    "login",
    "login_failed",
    "logout",
)
# Of a site, beside those of its sessions, flags and devices.
SITE_EVENTS = ("enrol_tokens_made", "rotation_asked")


def event(
    kind: str, context: Context, caller: Caller, *, device_id: str = "", detail: str = ""
) -> SiteEvent:
    """Something that the caller does now."""
    return SiteEvent(kind, context.now_ms(), device_id=device_id, who=caller.name, detail=detail)


async def count_failed_login(context: Context) -> None:
    """Count it, but keep it out of the log: who tries often must not push the log's entries out."""
    batch = context.store.batch()
    batch.add(keys.EVENTS, "login_failed")
    await context.store.settle(batch)
