"""A LAN in a box: one network namespace a host, one that is the switch, clocks of their own.

The switch (a bridge) lives in a namespace of its own, so that no packet filter that another
program keeps in the machine's namespace can drop what crosses it. The machine itself has one
cable into it: the demo, and any program outside, reaches the control plane and the devices.
Names hold the pid and birth of the demo that made them: so what a killed demo left is known.
"""

import ipaddress
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unisono.runtime import UserError

PREFIX = "unisono"
NETNS_DIR = Path("/var/run/netns")
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-[a-z0-9]+")
_POOL = ipaddress.IPv4Network("10.213.0.0/16")


@dataclass(frozen=True, slots=True)
class Lab:
    """Names and addresses of one run's network; pure, nothing of it exists by itself."""

    owner: str  # "unisono-PID-BIRTH"
    network: ipaddress.IPv4Network
    hosts: tuple[str, ...]

    @property
    def switch(self) -> str:
        """The namespace that holds the bridge."""
        return f"{self.owner}-switch"

    @property
    def outside(self) -> str:
        """The machine's own end of its cable into the switch."""
        return f"uni{self.owner.split('-')[1]}"

    @property
    def outside_address(self) -> str:
        """The machine's address on this LAN."""
        return str(self.network[254])

    def namespace(self, host: str) -> str:
        """The namespace of ``host``."""
        return f"{self.owner}-h{self.hosts.index(host)}"

    def address(self, host: str) -> str:
        """The address of ``host``."""
        return str(self.network[1 + self.hosts.index(host)])

    def wrap(self, host: str, argv: Sequence[str], clock_offset_s: int) -> tuple[str, ...]:
        """``argv`` run on ``host``, its monotonic clock ahead of the machine's by the offset."""
        offset = str(clock_offset_s)
        clock = ("unshare", "--time", "--monotonic", offset, "--boottime", offset)
        inside = ("ip", "netns", "exec", self.namespace(host))
        return (*inside, *clock, "--fork", "--kill-child", "--", *argv)


def plan_lab(
    hosts: Iterable[str], taken: Iterable[ipaddress.IPv4Network], pid: int, birth: int
) -> Lab:
    """A lab for ``hosts`` on a /24 that overlaps none of ``taken``; UserError if none is free."""
    used = list(taken)
    candidates = list(_POOL.subnets(new_prefix=24))
    # Two demos that start together begin their search at different places.
    start = pid % len(candidates)
    for network in candidates[start:] + candidates[:start]:
        if not any(network.overlaps(other) for other in used):
            return Lab(f"{PREFIX}-{pid}-{birth}", network, tuple(hosts))
    raise UserError(f"no free /24 left in {_POOL} for --isolate")


def build_lab(hosts: Iterable[str]) -> Lab:
    """Make the namespaces, the bridge and the cables; UserError when the kernel will not."""
    pid = os.getpid()
    lab = plan_lab(hosts, _networks_here(), pid, _birth(pid) or 0)
    try:
        _build(lab)
    except subprocess.CalledProcessError as error:
        remove_lab(lab.owner)
        reason = error.stderr.strip() or f"status {error.returncode}"
        raise UserError(f"--isolate: {' '.join(error.cmd)}: {reason}") from None
    return lab


def _build(lab: Lab) -> None:
    _ip("netns", "add", lab.switch)
    _in(lab.switch, "link", "set", "lo", "up")
    # Snooping without a querier would forget who listens to a multicast group.
    _in(lab.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
    _in(lab.switch, "link", "set", "br0", "up")
    for number, host in enumerate(lab.hosts):
        inside = lab.namespace(host)
        _ip("netns", "add", inside)
        _in(
            lab.switch,
            "link",
            "add",
            f"p{number}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            inside,
        )
        _plug(lab, f"p{number}")
        _in(inside, "link", "set", "lo", "up")
        _in(inside, "link", "set", "eth0", "up")
        _in(inside, "addr", "add", f"{lab.address(host)}/24", "dev", "eth0")
        _in(inside, "route", "add", "default", "dev", "eth0")
    _in(
        lab.switch,
        "link",
        "add",
        "out",
        "type",
        "veth",
        "peer",
        "name",
        lab.outside,
        "netns",
        str(os.getpid()),
    )
    _plug(lab, "out")
    _ip("link", "set", lab.outside, "up")
    _ip("addr", "add", f"{lab.outside_address}/24", "dev", lab.outside)


def _plug(lab: Lab, port: str) -> None:
    _in(lab.switch, "link", "set", port, "master", "br0", "up")


def remove_lab(owner: str) -> None:
    """Remove all namespaces of ``owner``; the cables go with them. Never fails."""
    _ip("link", "del", f"uni{owner.split('-')[1]}", check=False)
    for name in _namespaces():
        if name.startswith(f"{owner}-"):
            _ip("netns", "del", name, check=False)


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
    lines = _ip("-4", "-o", "addr", "show").splitlines()
    return [ipaddress.IPv4Interface(line.split()[3]).network for line in lines]


def _in(namespace: str, *words: str) -> str:
    return _ip("-n", namespace, *words)


def _ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=check)
    return done.stdout
