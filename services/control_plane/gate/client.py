"""Where a call comes from, by its connection; or by what a proxy says, if the settings name one."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

from services.control_plane.settings import ControlSettings

UNKNOWN = "unknown"
# Whoever has one address of IPv6 has all of such a network.
_IPV6_BITS = 64


def client_address(scope: Scope, settings: ControlSettings) -> str:
    """The caller's address, of IPv6 its network; `UNKNOWN` when it cannot be told."""
    if settings.client_address_header:
        said = Headers(scope=scope).get(settings.client_address_header, "")
        text = said.partition(",")[0].strip()
    else:
        peer = scope.get("client")
        text = peer[0] if peer else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _IPV6_BITS), strict=False))


def is_https(scope: Scope, settings: ControlSettings) -> bool:
    """Whether the caller speaks TLS; to the proxy, if the settings name one."""
    if scope.get("scheme") == "https":
        return True
    if not settings.client_address_header:
        return False
    said = Headers(scope=scope).get("x-forwarded-proto", "")
    return said.partition(",")[0].strip().lower() == "https"
