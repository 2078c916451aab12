"""Who this device is to the cloud: its id, and the secret that is good now.

The secret of the settings is the first one. When the cloud has given out another, that one is kept
in the local state before it is used, with the one before it: whatever dies at whatever moment, one
of those that are known is good, and a secret that is refused makes place for the next.
"""

from hashlib import sha256

from unisono.state import LocalState
from unisono.state.local import KeptSecret
from unisono.wire.seal import split_secret


class Identity:
    """``secret`` is the one to use; which one that is may change at any time.

    ``enrolled`` is what enrolment gave out; its last part is ``command_key``, which stays and is
    never sent. ValueError when it has none.
    """

    def __init__(self, device_id: str, enrolled: str) -> None:
        secret, self.command_key = split_secret(enrolled)
        self.device_id = device_id
        self.secret = secret
        self._enrolled = secret
        self._known: tuple[str, ...] = (secret,)
        self._refused: set[str] = set()

    @property
    def bearer(self) -> str:
        """What authorises a call now."""
        return f"{self.device_id}.{self.secret}"

    async def restore(self, state: LocalState) -> bool:
        """Take up the secret that was kept; True when it is another than the one in use.

        One that replaced another secret than that of the settings is of an earlier enrolment, and
        ignored. `StateUnavailable` when nothing can be read.
        """
        kept = await state.kept_secret()
        if kept is None or kept.replaces_sha256 != _digest(self._enrolled):
            return False
        before = self.secret
        self._take(kept.secret, kept.before)
        return self.secret != before

    async def keep(self, state: LocalState, secret: str) -> None:
        """From now on ``secret``; `StateUnavailable`, and no change, when it cannot be kept."""
        before = self.secret
        await state.put_kept_secret(KeptSecret(secret, before, _digest(self._enrolled)))
        self._take(secret, before)

    def refused(self, secret: str) -> bool:
        """The cloud does not accept ``secret``; True: another one may be tried at once."""
        if secret != self.secret:
            return True  # another one was taken up since that call began
        self._refused.add(secret)
        place = self._known.index(secret)
        self.secret = self._known[(place + 1) % len(self._known)]
        return self.secret not in self._refused

    def accepted(self) -> None:
        """The cloud accepts one of them: the others may be tried again, should that change."""
        self._refused.clear()

    def _take(self, secret: str, before: str) -> None:
        self._known = tuple(dict.fromkeys((secret, before, self._enrolled)))
        self._refused.clear()
        self.secret = secret


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
