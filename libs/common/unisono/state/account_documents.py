"""Who may log in, who has, and how often somebody tried.

Accounts and logins lie where what is done to them is written down: so that one commit does both.
"""

from unisono.state import keys
from unisono.state.batch import NO_SITE, Batch
from unisono.state.codec import decode
from unisono.state.document_base import DocumentBase
from unisono.state.records import Account, Login
from unisono.state.store import AddTo, Fields
from unisono.state.views import Kept, kept

_LOGIN = "login"


class AccountDocuments(DocumentBase):
    """Accounts, logins and throttles."""

    async def accounts(self) -> dict[str, Kept[Account]]:
        """Every account, by name; the value of one that cannot be read is None."""
        (fields,) = await self._store.read([Fields(self._key(keys.ACCOUNTS, NO_SITE))])
        return {name: kept(Account, body, "accounts") for name, body in fields.items()}

    async def account(self, name: str) -> Kept[Account]:
        """One account."""
        (fields,) = await self._store.read([Fields(self._key(keys.ACCOUNTS, NO_SITE), (name,))])
        return kept(Account, fields.get(name), "accounts")

    async def put_account(
        self,
        name: str,
        account: Account | None,
        expected_raw: bytes | None,
        batch: Batch | None = None,
    ) -> bool:
        """Keep an account, or remove it (None), if it still is what was read (None: absent).

        ``batch`` is what goes with it, all or nothing: a login, what is written down.
        """
        whole = Batch(self._prefix) if batch is None else batch
        whole.expect(keys.ACCOUNTS, name, expected_raw)
        if account is None:
            whole.drop(keys.ACCOUNTS, [name])
        else:
            whole.put(keys.ACCOUNTS, name, account)
        return await self._store.commit(whole.guards, whole.writes)

    async def login(self, digest: str) -> Login | None:
        """A login, by the hash of its cookie."""
        (fields,) = await self._store.read(
            [Fields(self._key(keys.LOGIN, NO_SITE, digest), (_LOGIN,))]
        )
        return decode(Login, fields.get(_LOGIN), _LOGIN)

    async def bump(self, scope: str, who: str, window: int, ttl_ms: int) -> int:
        """Count one try of ``who`` in a window of time; how many there were in it, with this one.

        ``scope`` is a site, or `NO_SITE`.
        """
        key = self._key(keys.RATE, scope, str(window))
        return await self._store.count(AddTo(key, who, 1, ttl_ms))


def keep_login(batch: Batch, digest: str, login: Login) -> None:
    """Keep a login, by the hash of its cookie; it ends `keys.LOGIN`'s time after that."""
    batch.put(keys.LOGIN, _LOGIN, login, part=digest)


def end_login(batch: Batch, digest: str) -> None:
    """End a login."""
    batch.drop(keys.LOGIN, None, part=digest)
