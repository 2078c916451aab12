"""What can go wrong when a path is opened; each message is one sentence for an operator."""

from unisono.core.errors import UserError


class LanError(UserError):
    """A path of the LAN that cannot be used.

    LanError
     +-- AddressInUse        another process has the port
     +-- InterfaceUnknown    no such interface, or it has no IPv4 address
    """


class AddressInUse(LanError):  # noqa: N818 - it names a condition
    """Another process listens there already."""


class InterfaceUnknown(LanError):  # noqa: N818 - it names a condition
    """The configured interface does not exist, or has no IPv4 address now."""
