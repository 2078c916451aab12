"""Hosts in network namespaces with clocks of their own, and the bridge that joins them.

The bridge lives in a namespace of its own, so that no packet filter that another program keeps in
the machine's namespace can drop what crosses it. The machine itself has one cable into it: the
demo, and any program outside, reaches the control plane and the devices. `switched` joins the
hosts by a switch of ours instead, where the network is to be anything but perfect.
Names hold the pid and birth of the process that made them: so what a killed one left is known.
"""

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.lab.iproute import LabError, ip, ip_in
from services.cli.lab.tap import NETNS_DIR

PREFIX = "unisono"
INTERFACE = "eth0"  # of every host
_SPARE = 100  # addresses from this one on are nobody's at first
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-[a-z0-9]+")
_POOL = ipaddress.IPv4Network("10.213.0.0/16")


@dataclass(frozen=True, slots=True)
class Lab:
    """Names and addresses of one run's network; pure, nothing of it exists by itself."""

    owner: str  # "unisono-PID-BIRTH"
    network: ipaddress.IPv4Network
    hosts: tuple[str, ...]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Lab":
        """The lab that `plain` has told of."""
        network = ipaddress.IPv4Network(plain["network"])
        return cls(plain["owner"], network, tuple(plain["hosts"]))

    def plain(self) -> dict[str, Any]:
        """This lab as a JSON object."""
        return {"owner": self.owner, "network": str(self.network), "hosts": list(self.hosts)}

    @property
    def bridge(self) -> str:
        """The namespace that holds the bridge."""
        return f"{self.owner}-bridge"

    @property
    def outside(self) -> str:
        """The machine's own end of its cable into this LAN."""
        return f"uni{self.owner.split('-')[1]}"

    @property
    def outside_address(self) -> str:
        """The machine's address on this LAN."""
        return str(self.network[254])

    def namespace(self, host: str) -> str:
        """The namespace of ``host``."""
        return f"{self.owner}-h{self._number(host)}"

    def address(self, host: str) -> str:
        """The address of ``host``."""
        return str(self.network[1 + self._number(host)])

    def spare_address(self, host: str) -> str:
        """An address that is nobody's until ``host`` is given it."""
        return str(self.network[_SPARE + self._number(host)])

    def hardware_address(self, host: str) -> str:
        """The address that the interface of ``host`` has, and has again when it is made anew."""
        return f"02:75:6e:69:00:{self._number(host):02x}"

    def _number(self, host: str) -> int:
        if host not in self.hosts:
            raise LabError(f"{host}: no such host; there are {', '.join(self.hosts)}")
        return self.hosts.index(host)

    def wrap(self, host: str, argv: Sequence[str], clock_offset_s: int) -> tuple[str, ...]:
        """``argv`` run on ``host``, its monotonic clock ahead of the machine's by the offset."""
        offset = str(clock_offset_s)
        clock = ("unshare", "--time", "--monotonic", offset, "--boottime", offset)
        inside = ("ip", "netns", "exec", self.namespace(host))
        return (*inside, *clock, "--fork", "--kill-child", "--", *argv)


def plan_lab(
    hosts: Iterable[str], taken: Iterable[ipaddress.IPv4Network], pid: int, birth: int
) -> Lab:
    """A lab for ``hosts`` on a /24 that overlaps none of ``taken``; LabError if none is free."""
    used = list(taken)
    candidates = list(_POOL.subnets(new_prefix=24))
    # Two demos that start together begin their search at different places.
    start = pid % len(candidates)
    for network in candidates[start:] + candidates[:start]:
        if not any(network.overlaps(other) for other in used):
            return Lab(f"{PREFIX}-{pid}-{birth}", network, tuple(hosts))
    raise LabError(f"no free /24 left in {_POOL} for --isolate")


@contextlib.contextmanager
def made_hosts(hosts: Iterable[str]) -> Iterator[Lab]:
    """A namespace for each host, without a network; gone when the block ends. LabError."""
    pid = os.getpid()
    lab = plan_lab(hosts, _networks_here(), pid, _birth(pid) or 0)
    if any(name.startswith(f"{lab.owner}-") for name in _namespaces()):
        raise LabError("this process has a lab already: end that one first")
    try:
        for host in lab.hosts:
            ip("netns", "add", lab.namespace(host))
            ip_in(lab.namespace(host), "link", "set", "lo", "up")
        yield lab
    finally:
        remove_lab(lab.owner)


@contextlib.contextmanager
def bridged(hosts: Iterable[str]) -> Iterator[Lab]:
    """Hosts on a bridge of the kernel's: as fast as the machine, and perfect."""
    with made_hosts(hosts) as lab:
        ip("netns", "add", lab.bridge)
        ip_in(lab.bridge, "link", "set", "lo", "up")
        # Snooping without a querier would forget who listens to a multicast group.
        ip_in(lab.bridge, *_words("link add br0 type bridge mcast_snooping 0"))
        ip_in(lab.bridge, *_words("link set br0 up"))
        for number, host in enumerate(lab.hosts):
            _plug(lab, f"p{number}", INTERFACE, lab.namespace(host))
            set_up(lab, host, lab.address(host))
        _plug(lab, "out", lab.outside, str(os.getpid()))
        set_up_outside(lab)
        yield lab


def _plug(lab: Lab, port: str, name: str, where: str) -> None:
    """A cable from ``port`` of the bridge to an interface elsewhere."""
    far_end = ("peer", "name", name, "netns", where)
    ip_in(lab.bridge, *_words(f"link add {port} type veth"), *far_end)
    ip_in(lab.bridge, *_words(f"link set {port} master br0 up"))


def set_up(lab: Lab, host: str, address: str) -> None:
    """Give the interface of ``host``, just made, its addresses, and start it."""
    inside = lab.namespace(host)
    ip_in(inside, *_words(f"link set {INTERFACE} address {lab.hardware_address(host)} up"))
    set_address(lab, host, address)


def set_address(lab: Lab, host: str, address: str) -> None:
    """``address`` instead of those that the interface of ``host`` has now."""
    inside = lab.namespace(host)
    ip_in(inside, *_words(f"addr flush dev {INTERFACE}"))
    ip_in(inside, *_words(f"addr add {address}/{lab.network.prefixlen} dev {INTERFACE}"))
    set_route(lab, host)


def set_route(lab: Lab, host: str) -> None:
    """Everything goes by the LAN, multicast too; lost whenever the interface was down."""
    ip_in(lab.namespace(host), *_words(f"route replace default dev {INTERFACE}"))


def set_up_outside(lab: Lab) -> None:
    """The machine's own end."""
    address = f"{lab.outside_address}/{lab.network.prefixlen}"
    ip("link", "set", lab.outside, "up")
    ip("addr", "add", address, "dev", lab.outside)


def _words(text: str) -> list[str]:
    return text.split()


def remove_lab(owner: str) -> None:
    """Remove all namespaces of ``owner``; the cables go with them. Never fails."""
    with contextlib.suppress(LabError):
        ip("link", "del", f"uni{owner.split('-')[1]}")
    for name in _namespaces():
        if name.startswith(f"{owner}-"):
            with contextlib.suppress(LabError):
                ip("netns", "del", name)


def remove_stale_labs() -> list[str]:
    """Remove what demos that no longer live have left; returns their owners' names."""
    owners = {}
    for name in _namespaces():
        match = _NAME.fullmatch(name)
        if match and _birth(int(match[1])) != int(match[2]):
            owners[f"{PREFIX}-{match[1]}-{match[2]}"] = True
    for owner in owners:
        remove_lab(owner)
    return list(owners)


def _namespaces() -> list[str]:
    return sorted(path.name for path in NETNS_DIR.iterdir()) if NETNS_DIR.is_dir() else []


def _birth(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot: with the pid, unique until reboot."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[19])


def _networks_here() -> list[ipaddress.IPv4Network]:
    lines = ip("-4", "-o", "addr", "show").splitlines()
    return [ipaddress.IPv4Interface(line.split()[3]).network for line in lines]
