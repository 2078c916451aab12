"""Where this device stands: which flags hold on it, and whether it misses its master's beat."""

import logging
from collections.abc import Mapping

from unisono.config import ConfigError, Flags, load_flags
from unisono.core.mode import Mode
from unisono.core.session import Role, SessionSpec
from unisono.core.units import NS_PER_MS, OwnNs

_log = logging.getLogger(__name__)


class Standing:
    """The flags in force: the process's own, over them the site's, or in a session the session's.

    ``take`` must be told of each change of session before anything else is asked.
    """

    def __init__(self, device_id: str, flags: Flags) -> None:
        self._device_id = device_id
        self._own = flags
        self._idle, self._idle_version = flags, 0
        self._session: SessionSpec | None = None
        self._in_session = flags
        self._session_version = 0
        self._since_own_ns = OwnNs(0)
        self._unfit = 0

    @property
    def flags(self) -> Flags:
        """The flags that hold now."""
        return self._idle if self._session is None else self._in_session

    @property
    def flags_version(self) -> int:
        """The version of the site's flags that they come from; 0: of none."""
        return self._idle_version if self._session is None else self._session_version

    def take(self, session: SessionSpec | None, now_own_ns: OwnNs) -> None:
        """The session that holds now; None for none."""
        old = self._session
        if session is old:
            return
        if session is not None and (old is None or _term(session) != _term(old)):
            self._since_own_ns = now_own_ns
        self._session = session
        if session is not None:
            try:
                self._in_session = load_flags(session.flags, base=self._own)
                self._session_version = session.flags_version
            except ConfigError as error:
                self._in_session, self._session_version = self._own, 0
                _log.warning("the session's flags are not used here: %s", error)

    def hear_flags(self, version: int, values: Mapping[str, str] | None) -> None:
        """The site's flags, as the cloud told them to a device without a session."""
        if values is None or self._session is not None:
            return
        try:
            self._idle = load_flags(values, base=self._own)
        except ConfigError as error:
            if version != self._unfit:
                _log.warning("version %d of the site's flags is not used here: %s", version, error)
            self._unfit = version
            return
        self._idle_version = version

    def beat_lost(self, mode: Mode, now_own_ns: OwnNs) -> bool:
        """Whether this device follows a master on the LAN, but does not hear it.

        Not before it has known the term for as long as silence may last.
        """
        session = self._session
        if session is None or session.role_of(self._device_id) is not Role.FOLLOWER:
            return False
        flags = self.flags
        known_ns = now_own_ns - self._since_own_ns
        return (
            flags.lan_enabled
            and mode in {Mode.HOLDOVER, Mode.CLOUD}
            and known_ns >= flags.lan_timeout_ms * NS_PER_MS
        )


def _term(session: SessionSpec) -> tuple[str, int]:
    return session.session_id, session.term
