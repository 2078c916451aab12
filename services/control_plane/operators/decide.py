"""Operators' decisions made durable: read, decide (pure), settle; again if another was faster.

What time has brought about (a session that failed or ended since) is settled first, even when
somebody only looks: then everybody sees it so.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fastapi import Request

from services.control_plane.calls import call_of
from services.control_plane.context import Context, context_of
from services.control_plane.devices.known import known_devices
from services.control_plane.errors import RETRY_AFTER_S, ApiError
from unisono.core import control_session
from unisono.core.reissue import joined
from unisono.core.session_state import Progress, SessionState
from unisono.core.site_document import Decision, KnownDevice, SessionRecord, SiteDocument
from unisono.state.documents import Batch, SiteOutline, SiteView

# Each round one of the racing instances wins; so many in a row means that something is broken.
ROUNDS = 8

V = TypeVar("V", bound=SiteOutline)

Decide = Callable[[V], Decision]
# What a decision writes beside the document, gathered anew in each round.
Gather = Callable[[V, Batch], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Settled(Generic[V]):
    """A site after a decision: the view that it was made of, and what it led to."""

    view: V
    decision: Decision
    now_ms: int

    @property
    def site(self) -> SiteDocument:
        """The document as it is now."""
        return self.decision.site

    def state_of(self, record: SessionRecord) -> SessionState:
        """The state of one of its sessions."""
        if record.ended_ms is not None:
            return record.state
        return control_session.state_of(record, self.progress_of(record), self.now_ms)

    def progress_of(self, record: SessionRecord) -> Progress:
        """How many members have answered its newest command."""
        session_id = record.spec.session_id
        before = self.view.site.session(session_id)
        if before is None or before.revision != record.revision:
            # It was told anew just now: nobody can have answered that.
            known = self.view.progress.get(session_id, Progress())
            return Progress(ever_done=known.ever_done)
        return self.view.progress.get(session_id, Progress())

    def find(self, session_id: str) -> SessionRecord | None:
        """The session of that id, if it runs, stops, or has ended by this decision."""
        ended = {record.spec.session_id: record for record in self.decision.ended}
        return self.site.session(session_id) or ended.get(session_id)


async def settled(
    request: Request,
    site: str,
    decide: Decide[SiteView] | None = None,
    gather: Gather[SiteView] | None = None,
    *,
    absent: ApiError | None = None,
) -> Settled[SiteView]:
    """Read a site that exists and make ``decide``'s decision durable. `ApiError`, `Refused`.

    ``decide`` gets the site with what time has brought about; without it, that alone is settled.
    ``absent`` is what to say when there is no such site.
    """
    read = context_of(request).store.site_view
    return await _rounds(request, site, read, decide, gather, absent=absent)


async def outlined(
    request: Request,
    site: str,
    decide: Decide[SiteOutline] | None = None,
    gather: Gather[SiteOutline] | None = None,
    *,
    absent: ApiError | None = None,
) -> Settled[SiteOutline]:
    """As `settled`, where nobody has to know what the devices said of themselves."""
    read = context_of(request).store.site_outline
    return await _rounds(request, site, read, decide, gather, absent=absent)


async def glanced(context: Context, site: str) -> Settled[SiteOutline]:
    """A site as it is now; what time has brought about is stored only if nobody is in the way."""
    view = await context.store.site_outline(site)
    now_ms = context.now_ms()
    made = control_session.settle_due(view.site, view.progress, now_ms=now_ms)
    await context.store.settle(context.store.batch(site), view=view, decision=made)
    return Settled(view, made, now_ms)


async def _rounds(
    request: Request,
    site: str,
    read: Callable[[str], Awaitable[V]],
    decide: Decide[V] | None,
    gather: Gather[V] | None,
    *,
    absent: ApiError | None,
) -> Settled[V]:
    context = context_of(request)
    for _ in range(ROUNDS):
        view = await read(site)
        if not view.exists:
            raise absent or unknown_site(site)
        call_of(request).site = site
        now_ms = context.now_ms()
        made = control_session.settle_due(view.site, view.progress, now_ms=now_ms)
        if decide is not None:
            made = joined(made, decide(replace(view, site=made.site)))
        batch = context.store.batch(site)
        if gather is not None:
            await gather(view, batch)
        if await context.store.settle(batch, view=view, decision=made):
            return Settled(view, made, now_ms)
    raise site_busy(site)


def enrolled(view: SiteView) -> dict[str, KnownDevice]:
    """Every enrolled device of the site by id, whether it has called or not."""
    known = known_devices(view)
    return {name: known.get(name, KnownDevice(name, None, None)) for name in view.devices}


def site_busy(site: str) -> ApiError:
    """Every round was lost to another instance."""
    return ApiError(
        503,
        "site_busy",
        f"too many changes at site {site} at once: try again",
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def unknown_site(site: str) -> ApiError:
    """There is no such site."""
    return ApiError(404, "unknown_site", f"there is no site {site}: make enrolment tokens for it")


def unknown_device(device_id: str) -> ApiError:
    """There is no such device at the site."""
    return ApiError(404, "unknown_device", f"{device_id} is not enrolled at this site")
