"""Which sockets a role opens: from settings, flags and the session's members to paths."""

import logging
from collections.abc import Mapping, Sequence

from unisono.config import Flags, Settings
from unisono.core.session import SessionSpec
from unisono.lan.datagrams import DatagramLink, UdpLink
from unisono.lan.errors import PathUnavailable
from unisono.lan.interface import is_numeric, listen_address, resolve_interface
from unisono.lan.paths import BeaconPublisher, BeaconSubscriber, Endpoint, Multicast, choose_paths
from unisono.lan.pgm import PgmPublisher, PgmSubscriber, has_pgm
from unisono.lan.tcp import TcpPublisher, TcpSubscriber

_log = logging.getLogger("unisono.beacon")


class Ways:
    """The LAN as this device may use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, flags: Flags) -> None:
        """`LanError` when this machine cannot do what its own configuration asks by name."""
        choose_paths(flags.lan_transport, has_pgm=has_pgm())
        listen_address(self._settings.lan_interface)

    def publishers(self, flags: Flags) -> Sequence[BeaconPublisher]:
        """The master's paths."""
        where = listen_address(self._settings.lan_interface)
        return [
            TcpPublisher(Endpoint(where, self._settings.beacon_port))
            if path == "tcp"
            else PgmPublisher(self._multicast())
            for path in self._paths(flags)
        ]

    def subscribers(
        self, flags: Flags, spec: SessionSpec, leader: str
    ) -> Sequence[BeaconSubscriber]:
        """A follower's paths. Any other member may lead next, and is listened for."""
        known = beacon_endpoints(spec, besides=self._settings.device_id)
        found: list[BeaconSubscriber] = []
        for path in self._paths(flags):
            if path == "pgm":
                found.append(PgmSubscriber(self._multicast()))
            elif leader in known:
                standby = [where for name, where in known.items() if name != leader]
                found.append(TcpSubscriber(known[leader], standby))
        return found

    def probe_listener(self) -> DatagramLink:
        """Where the master is asked."""
        where = listen_address(self._settings.lan_interface)
        return UdpLink(where, self._settings.probe_port)

    def probe_asker(self) -> DatagramLink:
        """What a follower asks from."""
        return UdpLink(listen_address(self._settings.lan_interface))

    def _multicast(self) -> Multicast:
        settings = self._settings
        interface = resolve_interface(settings.lan_interface)
        return Multicast(interface, settings.multicast_group, settings.multicast_port)

    def _paths(self, flags: Flags) -> Sequence[str]:
        try:
            return choose_paths(flags.lan_transport, has_pgm=has_pgm())
        except PathUnavailable as error:  # asked for by the site, not by this device's own setup
            _log.error("%s; using tcp", error)
            return ("tcp",)


def beacon_endpoints(spec: SessionSpec, *, besides: str) -> Mapping[str, Endpoint]:
    """Where each member but one would send beacons from; an unusable address is left out."""
    return _usable({m.device_id: (m.address, m.beacon_port) for m in spec.members}, besides)


def probe_endpoints(spec: SessionSpec, *, besides: str) -> Mapping[str, Endpoint]:
    """Where each member but one would answer probes; an unusable address is left out."""
    return _usable({m.device_id: (m.address, m.probe_port) for m in spec.members}, besides)


def tell_unusable(spec: SessionSpec) -> None:
    """One line of log for each member that cannot be reached; once for each spec is enough."""
    for member in spec.members:
        ports = (member.beacon_port, member.probe_port)
        if not all(_is_usable(member.address, port) for port in ports):
            _log.error(
                "member %s cannot be reached at %s, ports %d and %d: set its UNISONO_LAN_INTERFACE "
                "to a numeric IPv4 address, UNISONO_BEACON_PORT and UNISONO_PROBE_PORT to 1-65535",
                *(member.device_id, member.address, *ports),
            )


def _usable(places: Mapping[str, tuple[str, int]], besides: str) -> Mapping[str, Endpoint]:
    return {
        name: Endpoint(address, port)
        for name, (address, port) in places.items()
        if name != besides and _is_usable(address, port)
    }


def _is_usable(address: str, port: int) -> bool:
    return is_numeric(address) and 0 < port <= 65_535
