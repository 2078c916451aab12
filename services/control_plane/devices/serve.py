"""Serving devices: read once, let in, decide (pure), make durable once, answer.

Each call is two round trips to the store, however many devices there are: `device_view` reads
all that any call may need, `settle` writes all that it brings about, its own counters among it,
if nothing of what the decision rests on has changed since. When another instance was faster,
the call is served anew from what that one left.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.control_plane.calls import call_of, count_call
from services.control_plane.context import Context, bearer, bearer_challenge
from services.control_plane.devices.answer import Answer, Caller
from services.control_plane.errors import RETRY_AFTER_S, ApiError
from services.control_plane.gate.tokens import NAME, digest_of, new_token, same, site_of
from unisono.core.site_document import SiteEvent
from unisono.state import keys
from unisono.state.documents import Batch, DeviceView

# Each round one of the racing instances wins; so many in a row means that something is broken.
ROUNDS = 8
# A device calls once or twice a second at most; a fault that makes it call without pause must
# not cost more than a few devices do.
WINDOW_S = 10
WINDOW_CALLS = 100

OK, CREATED = 200, 201

Decide = Callable[[DeviceView, Any, Caller, Batch], Answer]


async def serve(request: Request, context: Context, decide: Decide, asked: Any) -> Response:
    """One call of an enrolled device: the answer is given when what it says is stored."""
    call, store = call_of(request), context.store
    site, device_id, secret = _credentials(request)
    digest = digest_of(secret)
    for _ in range(ROUNDS):
        now_ms = context.now_ms()
        window = now_ms // (WINDOW_S * 1000)
        view = await store.device_view(site, device_id, now_ms=now_ms, window=window)
        batch = store.batch(site)
        _let_in(view, device_id, digest, batch, now_ms)
        call.site = site
        if view.calls >= WINDOW_CALLS:
            raise _too_many(now_ms)
        caller = Caller(site, device_id, digest, now_ms, new_token(site))
        outcome = _outcome(decide, view, asked, caller, batch)
        if isinstance(outcome, ApiError):  # it changes nothing, but counts against the limit
            batch, status, decision = store.batch(site), outcome.status, None
        else:
            status, decision = OK, outcome.decision
        batch.put(keys.SEEN, device_id, now_ms)
        batch.add(keys.RATE, device_id, part=str(window))
        count_call(batch, call, context.tails, status, now_ms)
        if await store.settle(batch, view=view, decision=decision):
            call.counted = True
            if isinstance(outcome, ApiError):
                raise outcome
            return reply_of(outcome.reply, OK)
    raise ApiError(
        503,
        "site_busy",
        f"too many changes at site {site} at once: try again",
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def _outcome(
    decide: Decide, view: DeviceView, asked: Any, caller: Caller, batch: Batch
) -> Answer | ApiError:
    try:
        return decide(view, asked, caller, batch)
    except ApiError as error:
        return error


def reply_of(reply: Any, status: int) -> Response:
    """A reply as an answer of HTTP."""
    return Response(msgspec.json.encode(reply), status, media_type="application/json")


def _credentials(request: Request) -> tuple[str, str, str]:
    """Site, device and secret of ``Authorization: Bearer DEVICE_ID.SECRET``."""
    device_id, _, secret = bearer(request).partition(".")
    site = site_of(secret)
    if site is None or not NAME.fullmatch(device_id):
        said = "the bearer token must read DEVICE_ID.SECRET"
        raise ApiError(401, "bad_credentials", said, bearer_challenge())
    return site, device_id, secret


def _let_in(view: DeviceView, device_id: str, digest: str, batch: Batch, now_ms: int) -> None:
    """Check the secret; the first use of a new one makes it the only one.

    What the call writes holds only if the device is still enrolled as it was read: a call that is
    under way must not bring back what is kept of a device that is revoked meanwhile.
    """
    batch.expect(keys.DEVICES, device_id, view.record.raw)
    record = view.record.value
    if record is not None and same(record.secret_sha256, digest):
        return
    if record is not None and record.next_sha256 and same(record.next_sha256, digest):
        kept = replace(record, secret_sha256=digest, next_sha256="", rotate=False)
        batch.put(keys.DEVICES, device_id, kept)
        batch.happened(SiteEvent("secret_rotated", now_ms, device_id=device_id))
        return
    said = f"the secret of {device_id} is wrong or the device is not enrolled: enrol it anew"
    raise ApiError(401, "bad_credentials", said, bearer_challenge())


def _too_many(now_ms: int) -> ApiError:
    wait_s = WINDOW_S - (now_ms // 1000) % WINDOW_S
    return ApiError(
        429,
        "rate_limited",
        f"more than {WINDOW_CALLS} calls in {WINDOW_S} s: call again in {wait_s} s",
        {"Retry-After": str(wait_s)},
    )
