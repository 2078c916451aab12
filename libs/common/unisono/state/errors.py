"""What can go wrong with state.

StateError
 +-- StateUnavailable     the server is away or too slow; try again later, go on without it
 +-- StateMisconfigured   the URL cannot be understood; an operator can mend it (a UserError)
"""

from unisono.core.errors import UserError


class StateError(Exception):
    """State could not be used; the message is one sentence for an operator."""


class StateUnavailable(StateError):  # noqa: N818 - it names a condition
    """The server is away, too slow, or refuses to work; the show goes on from memory."""


class StateMisconfigured(StateError, UserError):  # noqa: N818 - it names a condition
    """The URL of the server cannot be understood."""
