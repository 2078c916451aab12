"""Another secret for this device, when the cloud asks for it: fetched, kept, and only then used."""

import logging

from services.cloud_bridge.client import CloudClient
from services.cloud_bridge.errors import CloudError
from services.cloud_bridge.identity import Identity
from services.cloud_bridge.line import CloudLine
from unisono.state import LocalState, StateError

ROTATE = "rotate"

_log = logging.getLogger(__name__)


class Rotation:
    """Both secrets are good until the new one is used: a step that fails is simply done again."""

    def __init__(
        self, identity: Identity, client: CloudClient, line: CloudLine, state: LocalState
    ) -> None:
        self._identity = identity
        self._client = client
        self._line = line
        self._state = state
        self._restored = False
        self._trouble = ""

    async def restore(self) -> None:
        """Take up the secret that is kept, as soon as it can be read."""
        if self._restored:
            return
        try:
            changed = await self._identity.restore(self._state)
        except StateError:  # what holds is told of it already
            return
        self._restored = True
        if changed:
            self._line.hope()

    async def rotate(self) -> None:
        """Fetch a new secret and use it; not while it could not be kept."""
        await self.restore()
        try:
            await self._state.kept_secret()  # is anybody there to keep it?
            secret = await self._line.ask(ROTATE, self._client.rotate)
            await self._identity.keep(self._state, secret)
        except (StateError, CloudError) as error:
            self._note(f"the device's secret cannot be changed now: {error}")
            return
        self._note("")
        _log.info("the device's secret was changed, as the cloud asked")

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.warning("%s", trouble)
        self._trouble = trouble
