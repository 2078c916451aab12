"""Which sockets a role opens: from settings, flags and the session's members to paths."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from unisono.config import Flags, Settings
from unisono.core.session import SessionSpec
from unisono.lan.choice import Choice, choose_paths, multicast_group
from unisono.lan.datagrams import DatagramLink, UdpLink
from unisono.lan.errors import InterfaceUnknown, LanError
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

# A path is made anew after a silence of this long, but never before two beats were missed.
LEAST_SILENCE_S: Final = 1.0
SILENT_PERIODS: Final = 2.5

_log = logging.getLogger("unisono.beacon")


class Ways:
    """The LAN as this device may use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told = ""

    def check(self) -> None:
        """`LanError` when the settings can never work; an interface may still come."""
        settings = self._settings
        if settings.udp_port == settings.multicast_port:
            raise LanError(
                f"UNISONO_UDP_PORT and UNISONO_MULTICAST_PORT are both {settings.udp_port}: "
                "plain datagrams would end the process that holds the PGM port; set two"
            )
        self._group()
        try:
            listen_address(settings.lan_interface)
        except InterfaceUnknown as error:
            _log.warning("%s; waiting for it", error)

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
        silence_s = max(LEAST_SILENCE_S, SILENT_PERIODS / flags.lan_beacon_hz)
        found: list[BeaconSubscriber] = []
        if UDP in paths:
            found.append(UdpSubscriber(self._udp_multicast, silence_s=silence_s))
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
                    address=self._listen_address,
                    silence_s=silence_s,
                )
            )
        if TCP in paths:
            found.append(TcpSubscriber(known.get(leader), standby, silence_s=silence_s))
        return found

    def probe_listeners(self, *, held: bool) -> Sequence[DatagramLink]:
        """Where the master is asked: by datagrams and, for those that cannot, over a stream.

        ``held``: datagrams wait until the link is read.
        """
        where = self._listen_address()
        port = self._settings.probe_port
        datagrams = UdpLink(where, port, held=held)
        try:
            return (datagrams, TcpProbeListener(where, port))
        except Exception:
            datagrams.close()
            raise

    def probe_askers(self) -> tuple[DatagramLink, DatagramLink]:
        """What a follower asks from: datagrams, and streams."""
        address = self._listen_address()
        return UdpLink(address, stamp_sends=True), TcpProbeLink(address)

    def _listen_address(self) -> str:
        return listen_address(self._settings.lan_interface)

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
        where = self._listen_address()
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
