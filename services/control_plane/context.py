"""What every route shares: the store, the clock, the settings; and the bearer token of a call."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request

from services.control_plane.errors import ApiError
from services.control_plane.metering import Tails
from services.control_plane.settings import ControlSettings
from unisono.state import DocumentStore

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Context:
    """One app's parts; ``now_ms`` is UTC since the epoch, ``tails`` CPU time not counted yet."""

    settings: ControlSettings
    store: DocumentStore
    now_ms: Callable[[], int]
    tails: Tails = field(default_factory=Tails)


def context_of(request: Request) -> Context:
    """The app's parts."""
    context: Context = request.app.state.context
    return context


def bearer(request: Request) -> str:
    """The token of ``Authorization: Bearer TOKEN``; 401 when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(
            401, "no_credentials", "send the header Authorization: Bearer TOKEN", _CHALLENGE
        )
    return token.strip()


def bearer_challenge() -> dict[str, str]:
    """The header that goes with a 401."""
    return dict(_CHALLENGE)
