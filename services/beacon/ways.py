"""Which sockets a role opens: from settings, flags and the session's members to paths."""

import logging
from collections.abc import Callable, Mapping, Sequence

from unisono.config import Flags, Settings
from unisono.core.session import SessionSpec
from unisono.lan.choice import Choice, choose_paths, multicast_group
from unisono.lan.datagrams import DatagramLink, UdpLink
from unisono.lan.interface import is_numeric, listen_address, resolve_interface
from unisono.lan.paths import (
    PGM,
    TCP,
    UDP,
    BeaconPublisher,
    BeaconSubscriber,
    Endpoint,
    Multicast,
)
from unisono.lan.pgm import PgmPublisher, PgmSubscriber, has_pgm
from unisono.lan.probes import OnRefused
from unisono.lan.tcp import TcpPublisher, TcpSubscriber
from unisono.lan.tcp_probes import TcpProbeLink, TcpProbeListener
from unisono.lan.udp import UdpPublisher, UdpSubscriber
from unisono.lan.unicast import UnicastPublisher, UnicastSubscriber
from unisono.runtime.boot import clock_id
from unisono.wire import KeyRing

_log = logging.getLogger("unisono.beacon")


class Ways:
    """The LAN as this device may use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told = ""

    def check(self) -> None:
        """`LanError` when this machine has not got what its own settings name."""
        listen_address(self._settings.lan_interface)
        self._group()

    def publishers(
        self, flags: Flags, spec: SessionSpec, keys: KeyRing, on_refused: OnRefused
    ) -> Sequence[BeaconPublisher]:
        """The master's paths, in the order in which they are sent to."""
        makers: Mapping[str, Callable[[], Sequence[BeaconPublisher]]] = {
            UDP: lambda: (
                UdpPublisher(self._udp_multicast),
                UnicastPublisher(
                    self._beacon_listener,
                    keys,
                    term=spec.term,
                    members=[m.device_id for m in spec.members],
                    on_refused=on_refused,
                ),
            ),
            TCP: lambda: (TcpPublisher(self._beacon_listener),),
            PGM: lambda: (PgmPublisher(self._pgm_multicast),),
        }
        return [made for path in self._paths(flags) for made in makers[path]()]

    def subscribers(
        self, flags: Flags, spec: SessionSpec, keys: KeyRing, leader: str, term: int
    ) -> Sequence[BeaconSubscriber]:
        """A follower's paths, cheapest for the site first. Any other member may lead next."""
        known = beacon_endpoints(spec, besides=self._settings.device_id)
        standby = [where for name, where in known.items() if name != leader]
        paths = self._paths(flags)
        found: list[BeaconSubscriber] = []
        if UDP in paths:
            found.append(UdpSubscriber(self._udp_multicast))
        if PGM in paths:
            found.append(PgmSubscriber(self._pgm_multicast))
        if UDP in paths:
            found.append(
                UnicastSubscriber(
                    self._settings.device_id,
                    keys,
                    clock_id=clock_id(),
                    leader=known.get(leader),
                    term=term,
                    standby=standby,
                )
            )
        if TCP in paths:
            found.append(TcpSubscriber(known.get(leader), standby))
        return found

    def probe_listeners(self, *, held: bool) -> Sequence[DatagramLink]:
        """Where the master is asked: by datagrams and, for those that cannot, over a stream.

        ``held``: datagrams wait until the link is read.
        """
        where = listen_address(self._settings.lan_interface)
        port = self._settings.probe_port
        datagrams = UdpLink(where, port, held=held)
        try:
            return (datagrams, TcpProbeListener(where, port))
        except Exception:
            datagrams.close()
            raise

    def probe_asker(self, *, stream: bool) -> DatagramLink:
        """What a follower asks from."""
        address = listen_address(self._settings.lan_interface)
        return TcpProbeLink(address) if stream else UdpLink(address, stamp_sends=True)

    def _udp_multicast(self) -> Multicast:
        return self._multicast(self._settings.udp_port)

    def _pgm_multicast(self) -> Multicast:
        return self._multicast(self._settings.multicast_port)

    def _multicast(self, port: int) -> Multicast:
        interface = resolve_interface(self._settings.lan_interface)
        return Multicast(interface, self._group(), port)

    def _group(self) -> str:
        return multicast_group(self._settings.multicast_group, self._settings.site)

    def _beacon_listener(self) -> Endpoint:
        where = listen_address(self._settings.lan_interface)
        return Endpoint(where, self._settings.beacon_port)

    def _paths(self, flags: Flags) -> Sequence[str]:
        choice: Choice = choose_paths(flags.lan_transport, has_pgm=has_pgm())
        if choice.missing and choice.missing != self._told:
            _log.warning("%s", choice.missing)
        self._told = choice.missing
        return choice.paths


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
