"""What every part of the control plane's documents rests on: a store and a prefix of keys."""

from unisono.state import keys
from unisono.state.keys import Key, cloud_key
from unisono.state.store import Store


class DocumentBase:
    """A store, and the names of keys in it."""

    def __init__(self, store: Store, prefix: str = keys.PREFIX) -> None:
        self._store = store
        self._prefix = prefix

    def _key(self, row: Key, site: str = "", part: str = "") -> str:
        return cloud_key(self._prefix, row, site, part)
