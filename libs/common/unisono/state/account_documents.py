"""Who may log in, who has, and how often somebody tried."""

from unisono.state import keys
from unisono.state.codec import decode, encode
from unisono.state.document_base import DocumentBase
from unisono.state.records import Account, Login
from unisono.state.store import AddTo, DropFields, Fields, Guard, SetFields, Write
from unisono.state.views import Kept, kept

_LOGIN = "login"


class AccountDocuments(DocumentBase):
    """Accounts, logins and throttles."""

    async def accounts(self) -> dict[str, Kept[Account]]:
        """Every account, by name; the value of one that cannot be read is None."""
        (fields,) = await self._store.read([Fields(self._key(keys.ACCOUNTS))])
        return {name: kept(Account, body, "accounts") for name, body in fields.items()}

    async def account(self, name: str) -> Kept[Account]:
        """One account."""
        (fields,) = await self._store.read([Fields(self._key(keys.ACCOUNTS), (name,))])
        return kept(Account, fields.get(name), "accounts")

    async def put_account(
        self, name: str, account: Account | None, expected_raw: bytes | None
    ) -> bool:
        """Keep an account, or remove it (None), if it still is what was read (None: absent)."""
        key = self._key(keys.ACCOUNTS)
        write: Write = DropFields(key, (name,))
        if account is not None:
            write = SetFields(key, {name: encode(account)}, keys.ACCOUNTS.ttl_ms)
        return await self._store.commit([Guard(key, name, expected_raw)], [write])

    async def login(self, digest: str) -> Login | None:
        """A login, by the hash of its cookie."""
        (fields,) = await self._store.read([Fields(self._login_key(digest), (_LOGIN,))])
        return decode(Login, fields.get(_LOGIN), _LOGIN)

    async def put_login(self, digest: str, login: Login) -> None:
        """Keep a login; it ends `keys.LOGIN`'s time after this was last done."""
        fields = {_LOGIN: encode(login)}
        key = self._login_key(digest)
        await self._store.write([SetFields(key, fields, keys.LOGIN.ttl_ms)])

    async def drop_login(self, digest: str) -> None:
        """End a login."""
        await self._store.write([DropFields(self._login_key(digest), None)])

    async def bump(self, scope: str, who: str, window: int, ttl_ms: int) -> int:
        """Count one try of ``who`` in a window of time; how many there were in it, with this one.

        ``scope`` is a site, or `NO_SITE`.
        """
        key = self._key(keys.RATE, scope, str(window))
        return await self._store.count(AddTo(key, who, 1, ttl_ms))

    def _login_key(self, digest: str) -> str:
        return self._key(keys.LOGIN, part=digest)
