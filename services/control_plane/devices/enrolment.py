"""Enrolment: a one-time token of a site becomes a device's identity."""

import secrets
from dataclasses import replace

from services.control_plane.calls import Call, count_call
from services.control_plane.context import Context
from services.control_plane.devices.bodies import EnrolReply, EnrolRequest
from services.control_plane.errors import ApiError
from services.control_plane.gate.tokens import digest_of, new_token, site_of
from services.control_plane.settings import ControlSettings
from unisono.core.errors import UserError
from unisono.core.site_document import SiteEvent
from unisono.state import DocumentStore, keys
from unisono.state.records import DeviceRecord, EnrolToken
from unisono.wire.seal import KEY_BYTES

MIN_TOKEN_CHARS = 16


async def enrol(asked: EnrolRequest, context: Context, call: Call) -> EnrolReply:
    """Spend the token. `ApiError`: it is not good, or the id is taken."""
    refused = ApiError(401, "bad_token", "the enrolment token is unknown, spent or too old")
    store, now_ms = context.store, context.now_ms()
    site, digest = site_of(asked.token), digest_of(asked.token)
    token = await store.token(site, digest) if site else None
    if site is None or token is None or token.value is None or token.value.spent_by:
        raise refused
    if token.value.expires_ms is not None and token.value.expires_ms <= now_ms:
        raise refused
    device_id = asked.device_id or f"dev-{secrets.token_hex(4)}"
    secret = new_token(site)
    key = secrets.token_hex(KEY_BYTES)
    record = DeviceRecord(device_id, digest_of(secret), now_ms, key)
    batch = store.batch(site)
    batch.expect(keys.ENROL_TOKENS, digest, token.raw)
    batch.expect(keys.DEVICES, device_id, None)
    batch.put(keys.DEVICES, device_id, record)
    if token.value.expires_ms is None:
        batch.put(keys.ENROL_TOKENS, digest, replace(token.value, spent_by=device_id))
    else:
        batch.drop(keys.ENROL_TOKENS, [digest])
    batch.happened(SiteEvent("device_enrolled", now_ms, device_id=device_id))
    call.site = site
    count_call(batch, call, context.tails, 201, now_ms)
    if await store.settle(batch):
        call.counted = True
        return EnrolReply(device_id=device_id, site=site, secret=f"{secret}.{key}")
    if device_id in (await store.site_view(site)).devices:
        raise ApiError(
            409, "device_exists", f"{device_id} is enrolled already: wish for another device_id"
        )
    raise refused


async def seed_tokens(settings: ControlSettings, store: DocumentStore, now_ms: int) -> None:
    """Accept the enrolment tokens of the settings, but for those that were known before."""
    for token in tokens_of(settings):
        site, digest = site_of(token), digest_of(token)
        if site is not None and (await store.token(site, digest)).value is None:
            await store.add_tokens(site, {digest: EnrolToken(expires_ms=None)}, now_ms=now_ms)


def tokens_of(settings: ControlSettings) -> list[str]:
    """The tokens in the settings; `UserError` when one is none."""
    tokens = [token.strip() for token in settings.enroll_tokens.split(",") if token.strip()]
    for token in tokens:
        if site_of(token) is None or len(token.partition(".")[2]) < MIN_TOKEN_CHARS:
            raise UserError(
                "UNISONO_CONTROL_ENROLL_TOKENS: each must read SITE.RANDOM, "
                f"with at least {MIN_TOKEN_CHARS} random characters"
            )
    return tokens
