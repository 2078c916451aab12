"""Tokens with which devices join a site, and the devices that did."""

from collections.abc import Mapping

from unisono.state import keys
from unisono.state.codec import decode_all, encode
from unisono.state.document_base import DocumentBase
from unisono.state.records import DeviceRecord, EnrolToken
from unisono.state.store import DropFields, Fields, Guard, SetFields, Write
from unisono.state.views import Kept, kept


class Enrolment(DocumentBase):
    """Enrolment tokens, by their SHA-256."""

    async def add_tokens(self, site: str, tokens: Mapping[str, EnrolToken], *, now_ms: int) -> None:
        """Give out tokens (by their hash); the site exists from then on.

        Those that expired are forgotten. Two round trips.
        """
        key = self._key(keys.ENROL_TOKENS, site)
        (held,) = await self._store.read([Fields(key)])
        known = decode_all(EnrolToken, held, "tokens")
        old = (d for d, t in known.items() if t.expires_ms is not None and t.expires_ms <= now_ms)
        fields = {digest: encode(token) for digest, token in tokens.items()}
        await self._store.write(
            [
                DropFields(key, tuple(old)),
                SetFields(key, fields, keys.ENROL_TOKENS.ttl_ms),
                SetFields(self._key(keys.SITES), {site: b""}, keys.SITES.ttl_ms),
            ]
        )

    async def token(self, site: str, digest: str) -> Kept[EnrolToken]:
        """The token of that hash (see `EnrolToken`)."""
        (fields,) = await self._store.read([Fields(self._key(keys.ENROL_TOKENS, site), (digest,))])
        return kept(EnrolToken, fields.get(digest), "tokens")

    async def enrol(
        self, site: str, digest: str, token: Kept[EnrolToken], record: DeviceRecord
    ) -> bool:
        """Spend the token and keep the device.

        False, and nothing done: the token is not what was read, or the device is there already.
        """
        if token.value is None:
            return False
        tokens, devices = self._key(keys.ENROL_TOKENS, site), self._key(keys.DEVICES, site)
        spend: Write = DropFields(tokens, (digest,))
        if token.value.expires_ms is None:
            spent = EnrolToken(None, record.device_id)
            spend = SetFields(tokens, {digest: encode(spent)}, keys.ENROL_TOKENS.ttl_ms)
        fields = {record.device_id: encode(record)}
        return await self._store.commit(
            [Guard(tokens, digest, token.raw), Guard(devices, record.device_id, None)],
            [spend, SetFields(devices, fields, keys.DEVICES.ttl_ms)],
        )
