"""Tokens with which devices join a site."""

from collections.abc import Iterable, Mapping

from unisono.core.site_document import SiteEvent
from unisono.state import keys
from unisono.state.batch import Batch
from unisono.state.codec import decode_all
from unisono.state.document_base import DocumentBase
from unisono.state.records import EnrolToken
from unisono.state.store import Fields, SetFields
from unisono.state.views import Kept, kept


class Enrolment(DocumentBase):
    """Enrolment tokens, by their SHA-256."""

    async def add_tokens(
        self,
        site: str,
        tokens: Mapping[str, EnrolToken],
        *,
        now_ms: int,
        events: Iterable[SiteEvent] = (),
    ) -> None:
        """Give out tokens (by their hash), with what is written down of it: all or nothing.

        The site exists from then on. Tokens that expired are forgotten. Three round trips.
        """
        key = self._key(keys.ENROL_TOKENS, site)
        (held,) = await self._store.read([Fields(key)])
        known = decode_all(EnrolToken, held, "tokens")
        old = (d for d, t in known.items() if t.expires_ms is not None and t.expires_ms <= now_ms)
        batch = Batch(self._prefix, site)
        batch.drop(keys.ENROL_TOKENS, tuple(old))
        for digest, token in tokens.items():
            batch.put(keys.ENROL_TOKENS, digest, token)
        for event in events:
            batch.happened(event)
        # In this order: a token of a site that nobody can see would let devices in unseen.
        await self._store.write([SetFields(self._key(keys.SITES), {site: b""}, keys.SITES.ttl_ms)])
        await self._store.commit(batch.guards, batch.writes)

    async def token(self, site: str, digest: str) -> Kept[EnrolToken]:
        """The token of that hash (see `EnrolToken`)."""
        (fields,) = await self._store.read([Fields(self._key(keys.ENROL_TOKENS, site), (digest,))])
        return kept(EnrolToken, fields.get(digest), "tokens")
