"""Make decisions durable: load, decide (pure), commit; again when another instance was faster."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.control_plane.errors import RETRY_AFTER_S, ApiError
from unisono.core.site_document import Decision, SiteDocument
from unisono.state import DocumentStore
from unisono.state.documents import DeviceView, SiteView

# Each round one of the racing instances wins; so many in a row means that something is broken.
ROUNDS = 8

View = TypeVar("View", DeviceView, SiteView)


async def settle(
    store: DocumentStore,
    site: str,
    load: Callable[[], Awaitable[View]],
    decide: Callable[[View], Decision],
    view: View | None = None,
) -> tuple[View, Decision]:
    """The decision that was committed, and the view that it was made of.

    A decision that leaves the document as it is is not committed: its commands (if any) are for
    the caller to queue, since they only repeat what the document says. ``view`` spares the
    first load.
    """
    for _ in range(ROUNDS):
        view = view or await load()
        decision = decide(view)
        if decision.site == view.site or await store.commit(site, view.version, decision):
            return view, decision
        view = None
    raise ApiError(
        503,
        "site_busy",
        f"too many changes at site {site} at once: try again",
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def changed(view: DeviceView | SiteView, decision: Decision) -> bool:
    """Whether the decision changed the document (and its commands are committed with it)."""
    site: SiteDocument = view.site
    return decision.site != site
