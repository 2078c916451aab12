"""What every route shares: the store, the clock, the settings; and who may call."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from services.control_plane.calls import Call, call_of
from services.control_plane.errors import ApiError
from services.control_plane.settings import ControlSettings
from services.control_plane.tokens import NAME, digest_of, same, site_of
from unisono.state import DocumentStore
from unisono.state.documents import DeviceView

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Context:
    """One app's parts; ``now_ms`` is UTC since the epoch."""

    settings: ControlSettings
    store: DocumentStore
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class DeviceCall:
    """An authenticated call of a device, with the view that it was authenticated by."""

    context: Context
    call: Call
    site: str
    device_id: str
    view: DeviceView
    now_ms: int


def context_of(request: Request) -> Context:
    """The app's parts (a dependency)."""
    context: Context = request.app.state.context
    return context


async def device_call(request: Request) -> DeviceCall:
    """Authenticate a device by ``Authorization: Bearer DEVICE_ID.SECRET`` (a dependency)."""
    context = context_of(request)
    device_id, _, secret = _bearer(request).partition(".")
    site = site_of(secret)
    if site is None or not NAME.fullmatch(device_id):
        raise ApiError(
            401, "bad_credentials", "the bearer token must read DEVICE_ID.SECRET", _CHALLENGE
        )
    with_ack = "command_id" in request.path_params
    view = await context.store.device_view(site, device_id, with_ack=with_ack)
    kept = view.record.secret_sha256 if view.record else ""
    if not same(kept, digest_of(secret)):
        raise ApiError(
            401,
            "bad_credentials",
            f"the secret of {device_id} is wrong or the device is not enrolled: enrol it anew",
            _CHALLENGE,
        )
    call = call_of(request)
    call.site = call.batch.site = site
    return DeviceCall(context, call, site, device_id, view, context.now_ms())


async def operator(request: Request) -> Context:
    """Authenticate an operator by bearer token (a dependency)."""
    context = context_of(request)
    if not same(context.settings.operator_token, _bearer(request)):
        raise ApiError(401, "bad_credentials", "the operator token is wrong", _CHALLENGE)
    return context


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(
            401, "no_credentials", "send the header Authorization: Bearer TOKEN", _CHALLENGE
        )
    return token.strip()
