"""How tests, benchmarks and people change a lab's network while it runs (root).

    with switched(["control", "screen-1"], profile=find_profile("wired"), seed=1,
                  directory=tmp) as control:
        control.set_rules("screen-1", towards=LinkRules(loss_share=0.2))
        control.partition(["screen-1"])
        control.heal()

or, of a demo that runs: ``LabControl.attach(run_dir / SOCKET_NAME)``.
"""

import contextlib
import dataclasses
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from services.cli.lab import namespaces
from services.cli.lab.iproute import LabError, ip_in
from services.cli.lab.link import LinkRules
from services.cli.lab.namespaces import INTERFACE, Lab
from services.cli.lab.profiles import Profile

SOCKET_NAME: Final = "switch.sock"
_ANSWER_S: Final = 5.0  # the switch answers at once; a machine under load may keep it waiting


class LabControl:
    """The network of one lab; every method raises LabError when it could not be done."""

    def __init__(self, lab: Lab, socket_path: Path) -> None:
        self.lab = lab
        self._socket_path = socket_path

    @classmethod
    def attach(cls, socket_path: Path) -> "LabControl":
        """The lab whose switch listens at ``socket_path``."""
        answer = _ask(socket_path, {"do": "lab"})
        return cls(Lab.from_plain(answer["lab"]), socket_path)

    def set_rules(
        self,
        host: str | None = None,
        *,
        towards: LinkRules | None = None,
        leaving: LinkRules | None = None,
    ) -> None:
        """New rules for the cable of ``host`` (None: of all); a direction left out stays."""
        rules = {"towards": towards, "leaving": leaving}
        given = {name: dataclasses.asdict(rule) for name, rule in rules.items() if rule}
        self._ask({"do": "rules", "host": host} | given)

    def set_profile(self, profile: Profile) -> None:
        """All cables as ``profile`` has them; the first host is the control plane's."""
        control, *devices = self.lab.hosts
        for host in self.lab.hosts:
            self.set_rules(
                host,
                towards=profile.towards(host, control),
                leaving=profile.leaving(host, control, devices[0] if devices else ""),
            )

    def partition(self, *parts: Sequence[str]) -> None:
        """Hosts of one part hear each other only; those not named are one more part.

        The machine itself goes on to hear all. What is on its way still arrives.
        """
        self._ask({"do": "partition", "parts": [list(part) for part in parts]})

    def heal(self) -> None:
        """End the partition."""
        self.partition()

    def statistics(self) -> dict[str, Any]:
        """Frames carried and lost, by host and direction, and the switch's lateness and CPU.

        ``{"cpu_s": 0.2, "lateness_us": {"count", "p50", "p99", "max"}, "hosts": {"screen-1":
        {"plugged": true, "towards": {"carried": 9, "lost": {"queue": 1}}, "leaving": …}}}``
        """
        return self._ask({"do": "statistics"})

    def take_down(self, host: str) -> None:
        """``ip link set eth0 down``; the address stays, the routes go."""
        ip_in(self.lab.namespace(host), "link", "set", INTERFACE, "down")

    def bring_up(self, host: str) -> None:
        """The opposite; the routes are back."""
        ip_in(self.lab.namespace(host), "link", "set", INTERFACE, "up")
        namespaces.set_route(self.lab, host)

    def unplug(self, host: str) -> None:
        """Take the interface itself away, as a USB stick that is pulled."""
        self._ask({"do": "unplug", "host": host})

    def plug(self, host: str, address: str | None = None) -> None:
        """Make the interface anew, with its old hardware address and the host's address."""
        self._ask({"do": "plug", "host": host})
        namespaces.set_up(self.lab, host, address or self.lab.address(host))

    def replug(self, host: str) -> None:
        """`unplug` and `plug`: a new interface of the same name and addresses."""
        self.unplug(host)
        self.plug(host)

    def readdress(self, host: str, address: str | None = None) -> str:
        """Give ``host`` another address, as DHCP may; the address (None: one nobody has)."""
        chosen = address or self.lab.spare_address(host)
        namespaces.set_address(self.lab, host, chosen)
        return chosen

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        return _ask(self._socket_path, command)


def _ask(socket_path: Path, command: dict[str, Any]) -> dict[str, Any]:
    with _connected(socket_path) as connection, connection.makefile("rwb") as stream:
        stream.write(json.dumps(command).encode() + b"\n")
        stream.flush()
        answer: dict[str, Any] = json.loads(stream.readline() or b"{}")
    if not answer.pop("ok", False):
        raise LabError(f"the switch of the lab: {answer.get('error', 'no answer')}")
    return answer


@contextlib.contextmanager
def _connected(socket_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(socket_path))
            yield connection
        except OSError as error:
            raise LabError(
                f"the switch of the lab at {socket_path}: {error.strerror or error}"
            ) from None
