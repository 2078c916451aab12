"""The switch between real namespaces: delay, loss, multicast, partitions, interfaces that go."""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.lab import namespaces
from services.cli.lab.control import SOCKET_NAME, LabControl
from services.cli.lab.iproute import LabError
from services.cli.lab.link import LinkRules
from services.cli.lab.profiles import find_profile
from services.cli.lab.switched import switched
from services.cli.lab.tap import NETNS_DIR, inside
from tests.support.waiting import alive, until_sync

pytestmark = pytest.mark.root

HOSTS = ("control", "one", "two")
PORT = 7000
GROUP = "239.255.7.7"
LIMIT_S = 3.0  # for what the switch takes a moment for


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabControl]:
    """One lab for all tests here, whose end leaves nothing."""
    directory = tmp_path_factory.mktemp("s")
    with switched(HOSTS, profile=find_profile("wired"), seed=1, directory=directory) as control:
        lab = control.lab
        yield control
    assert [path for path in NETNS_DIR.iterdir() if path.name.startswith(lab.owner)] == []
    assert not Path("/sys/class/net", lab.outside).exists()
    assert [path.name for path in directory.iterdir()] == ["switch.log"]


@pytest.fixture
def control(built: LabControl) -> LabControl:
    """The lab, with every cable clear and nothing cut."""
    built.heal()
    built.set_rules(towards=LinkRules(), leaving=LinkRules())
    return built


@contextlib.contextmanager
def listening(control: LabControl, host: str) -> Iterator[socket.socket]:
    """A datagram socket on ``host``, in the group; it lives in that namespace."""
    with inside(control.lab.namespace(host)), socket.socket(type=socket.SOCK_DGRAM) as opened:
        here = socket.inet_aton(control.lab.address(host))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        opened.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + here
        )
        opened.bind(("", PORT))
        opened.settimeout(LIMIT_S)
        yield opened


@pytest.fixture
def pair(control: LabControl) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Sockets of hosts one and two, which know each other's hardware address."""
    with listening(control, "one") as one, listening(control, "two") as two:
        one.sendto(b"who?", (control.lab.address("two"), PORT))
        _, who = two.recvfrom(100)
        two.sendto(b"me", who)
        assert one.recv(100) == b"me"
        yield one, two


def silent(receiver: socket.socket) -> bool:
    receiver.settimeout(0.15)
    try:
        receiver.recv(100)
    except TimeoutError:
        return True
    finally:
        receiver.settimeout(LIMIT_S)
    return False


def passes(sender: socket.socket, receiver: socket.socket, address: str) -> bool:
    """Whether a datagram to ``address`` comes out, within the time that ARP may take."""
    receiver.settimeout(0.1)
    try:
        for number in range(30):
            with contextlib.suppress(OSError):
                sender.sendto(str(number).encode(), (address, PORT))
            with contextlib.suppress(TimeoutError):
                receiver.recv(100)
                return True
    finally:
        receiver.settimeout(LIMIT_S)
    return False


Pair = tuple[socket.socket, socket.socket]


def test_a_round_trip_takes_the_delay_of_both_ways(control: LabControl, pair: Pair) -> None:
    one, two = pair
    control.set_rules("one", towards=LinkRules(delay_ms=20))
    control.set_rules("two", towards=LinkRules(delay_ms=10), leaving=LinkRules(delay_ms=5))
    trips_ms = []
    for _ in range(10):
        began_s = time.monotonic()
        one.sendto(b"ping", (control.lab.address("two"), PORT))
        two.sendto(b"pong", two.recvfrom(100)[1])
        assert one.recv(100) == b"pong"
        trips_ms.append(1000 * (time.monotonic() - began_s))
    assert min(trips_ms) >= 35
    assert statistics.median(trips_ms) < 60
    late_us = control.statistics()["lateness_us"]
    assert late_us["count"] > 20
    assert late_us["p50"] < 10_000


def test_losses_have_their_share_and_are_counted(control: LabControl, pair: Pair) -> None:
    one, two = pair
    before = control.statistics()["hosts"]["two"]["towards"]
    control.set_rules("two", towards=LinkRules(loss_share=0.3))
    for number in range(400):
        one.sendto(str(number).encode(), (control.lab.address("two"), PORT))
        time.sleep(0.0005)  # more at once than a host's interface queues would be lost there
    control.set_rules("two", towards=LinkRules())
    one.sendto(b"end", (control.lab.address("two"), PORT))
    got = list(iter(lambda: two.recv(100), b"end"))
    assert 230 < len(got) < 330  # five standard deviations about 280
    after = control.statistics()["hosts"]["two"]["towards"]
    lost = after["lost"]["lost"] - before["lost"].get("lost", 0)
    assert lost >= 400 - len(got)


def test_multicast_is_blocked_while_unicast_passes(control: LabControl, pair: Pair) -> None:
    one, two = pair
    one.sendto(b"all", (GROUP, PORT))
    assert two.recv(100) == b"all"
    control.set_profile(find_profile("multicast-blocked"))
    one.sendto(b"all", (GROUP, PORT))
    one.sendto(b"you", (control.lab.address("two"), PORT))
    assert two.recv(100) == b"you"
    assert silent(two)


def test_a_partition_cuts_and_heals(control: LabControl, pair: Pair) -> None:
    one, two = pair
    control.partition(["one"])
    one.sendto(b"lost", (control.lab.address("two"), PORT))
    one.sendto(b"lost", (GROUP, PORT))
    assert silent(two)
    control.heal()
    assert passes(one, two, control.lab.address("two"))
    with socket.socket(type=socket.SOCK_DGRAM) as outside:
        control.partition(["one"], ["two"])
        assert passes(outside, two, control.lab.address("two"))  # the machine reaches all


def test_interfaces_go_and_come_and_the_rest_goes_on(control: LabControl, pair: Pair) -> None:
    one, two = pair
    there = control.lab.address("two")
    control.take_down("two")
    one.sendto(b"lost", (there, PORT))
    control.bring_up("two")
    assert passes(one, two, there)
    control.unplug("two")
    assert not control.statistics()["hosts"]["two"]["plugged"]
    one.sendto(b"lost", (there, PORT))
    control.plug("two")
    assert passes(one, two, there)
    # Somebody in the host deletes it: seen, survived, and mended in the same way.
    subprocess.run(["ip", "-n", control.lab.namespace("two"), "link", "del", "eth0"], check=True)
    until_sync(lambda: not control.statistics()["hosts"]["two"]["plugged"], LIMIT_S)
    control.replug("two")
    assert passes(one, two, there)
    elsewhere = control.readdress("two")
    assert elsewhere != there
    assert passes(one, two, elsewhere)
    control.readdress("two", there)
    assert control.statistics()["hosts"]["two"]["towards"]["lost"]["unwritable"] > 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"nonsense", "JSON is malformed"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "malformed"),
        (b'{"do":"fly"}', "fly"),
        (b'{"do":"rules","host":"nobody","towards":{}}', "nobody: no such host; there are control"),
        (b'{"do":"rules","towards":{"delay":1}}', "delay: there is no such rule; use delay_ms"),
        (b'{"do":"rules","towards":{"loss_share":7}}', "a share is from 0 to 1"),
        (b'{"do":"rules","towards":{"delay_ms":"x"}}', "Expected `float`"),
        (b'{"do":"rules","hosts":"one"}', "unknown field `hosts`"),
        (b'{"do":"partition","parts":[["one","nobody"]]}', "nobody: no such host"),
        (b'{"do":"unplug","host":"outside"}', "outside: no such host"),
        (b'{"do":"plug","host":"one"}', "one is plugged in already"),
        (b'{"do":"rules","towards":' + b'{"a":' * 10_000, "recursion"),
        (b"x" * 100_000, "malformed"),
    ],
    ids=lambda value: value[:30].decode(errors="replace") if isinstance(value, bytes) else "",
)
def test_bad_commands_are_answered(built: LabControl, line: bytes, sentence: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(built._socket_path))
        connection.sendall(line + b"\n")
        answer = json.loads(connection.makefile().readline())
    assert not answer["ok"]
    assert sentence in answer["error"]
    assert built.statistics()["hosts"].keys() == {*HOSTS, "outside"}


def test_whoever_knows_its_socket_can_take_control(built: LabControl) -> None:
    again = LabControl.attach(built._socket_path)
    assert again.lab == built.lab
    with pytest.raises(LabError, match="nobody: no such host"):
        again.unplug("nobody")
    with pytest.raises(LabError, match=r"no\.sock: No such file"):
        LabControl(built.lab, built._socket_path.with_name("no.sock")).heal()


def test_it_ends_with_the_process_that_started_it(short_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from services.cli.lab.profiles import find_profile\n"
        "from services.cli.lab.switched import switched\n"
        "with switched(['a'], profile=find_profile('wan'), seed=1, directory=Path(sys.argv[1])):\n"
        "    print('built', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(short_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"built\n"
        switch = int(Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text())
        os.kill(owner.pid, signal.SIGKILL)
    until_sync(lambda: not alive(switch), LIMIT_S)
    assert not (short_dir / SOCKET_NAME).exists()
    owners = namespaces.remove_stale_labs()
    assert any(name.startswith(f"unisono-{owner.pid}-") for name in owners)
