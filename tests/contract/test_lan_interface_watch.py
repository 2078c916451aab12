"""The interface watch on real links: in a namespace of its own, told by the real kernel."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator

import pytest

from tests.support.own_network import in_own_network, ip
from tests.support.waiting import until
from unisono.lan import interface, netlink
from unisono.lan.interface import DEBOUNCE_S, MIN_INTERVAL_S, InterfaceWatch, resolve_interface

NAME = "lan0"
# Longer than the watch may wait before it tells of anything, where it need not spare anybody.
QUIET_S = 4 * DEBOUNCE_S


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to be spared."""
    monkeypatch.setattr(interface, "MIN_INTERVAL_S", 0.0)


class Watched:
    """A watch and how often it has called."""

    def __init__(self, setting: str) -> None:
        self.calls = 0
        self._watch = InterfaceWatch(setting, self._count)
        self._watch.open()

    def _count(self) -> None:
        self.calls += 1

    def close(self) -> None:
        self._watch.close()

    async def told(self) -> int:
        """How often it has called in the end, since the last time."""
        await until(lambda: self.calls)
        return await self.quiet()

    async def quiet(self) -> int:
        await asyncio.sleep(QUIET_S)
        calls, self.calls = self.calls, 0
        return calls


@contextlib.asynccontextmanager
async def watched(setting: str) -> AsyncIterator[Watched]:
    made = Watched(setting)
    try:
        yield made
    finally:
        made.close()


def make_link(name: str = NAME, address: str = "10.9.0.1/24") -> None:
    ip("link", "add", name, "type", "veth", "peer", "name", f"far-{name}")
    ip("addr", "add", address, "dev", name)
    ip("link", "set", f"far-{name}", "up")
    ip("link", "set", name, "up")


@pytest.mark.root
def test_a_new_address_and_a_link_that_comes_back_are_told_once_each(hasty: None) -> None:
    async def play() -> None:
        make_link()
        async with watched(NAME) as lan:
            assert await lan.quiet() == 0
            ip("addr", "add", "10.9.1.1/24", "dev", NAME)  # a second one: the first stays
            ip("addr", "del", "10.9.0.1/24", "dev", NAME)
            assert await lan.told() == 1
            assert resolve_interface(NAME) == "10.9.1.1"
            ip("link", "set", f"far-{NAME}", "down")  # no carrier
            assert await lan.quiet() == 0
            ip("link", "set", f"far-{NAME}", "up")
            assert await lan.told() == 1
            ip("link", "set", NAME, "down")
            ip("link", "set", NAME, "up")  # back before anybody looks
            assert await lan.told() == 1
            ip("addr", "del", "10.9.1.1/24", "dev", NAME)
            ip("addr", "add", "10.9.1.1/24", "dev", NAME)
            assert await lan.told() == 1

    in_own_network(play)


@pytest.mark.root
def test_an_interface_made_anew_under_its_name_is_told(hasty: None) -> None:
    async def play() -> None:
        async with watched(NAME) as lan:  # the device may start before its network
            make_link()
            assert await lan.told() == 1
            ip("link", "del", NAME)
            assert await lan.quiet() == 0
            make_link()
            assert await lan.told() == 1

    in_own_network(play)


@pytest.mark.root
def test_other_interfaces_and_other_news_of_the_same_one_are_not_told(hasty: None) -> None:
    async def play() -> None:
        make_link()
        async with watched(NAME) as by_name, watched("10.9.0.1") as by_address:
            make_link("other0", "10.8.0.1/24")
            ip("link", "set", NAME, "mtu", "1400")
            ip("addr", "add", "10.9.2.1/24", "dev", NAME)
            ip("addr", "del", "10.9.2.1/24", "dev", NAME)
            ip("route", "add", "10.7.0.0/24", "dev", NAME)
            ip("link", "add", "bridge0", "type", "bridge")
            ip("link", "set", NAME, "master", "bridge0")
            ip("link", "set", NAME, "nomaster")
            ip("link", "del", "other0")
            assert await by_name.quiet() == 0
            ip("link", "set", NAME, "down")
            ip("link", "set", NAME, "up")
            assert await by_name.told() == 1
            assert by_address.calls == 1

    in_own_network(play)


@pytest.mark.root
def test_auto_follows_the_default_route(hasty: None) -> None:
    async def play() -> None:
        ip("link", "set", "lo", "up")
        make_link()
        make_link("other0", "10.8.0.1/24")
        async with watched("auto") as lan:
            before = resolve_interface("auto")
            gateway, name = ("10.8.0.9", "other0") if before == "10.9.0.1" else ("10.9.0.9", NAME)
            ip("route", "add", "default", "via", gateway, "dev", name)
            assert await lan.told() == 1
            assert resolve_interface("auto") != before

    in_own_network(play)


@pytest.mark.root
def test_more_news_than_the_kernel_keeps_end_in_a_look(hasty: None) -> None:
    async def play() -> None:
        make_link()
        async with watched(NAME) as lan:
            mtus = [f"link set {NAME} mtu {1000 + step}\n" for step in range(500)]
            moves = [f"addr del 10.9.0.1/24 dev {NAME}\n", f"addr add 10.9.0.2/24 dev {NAME}\n"]
            script = "".join(mtus + moves)
            # The loop does not turn meanwhile.
            subprocess.run(("ip", "-batch", "-"), input=script, check=True, text=True)  # noqa: ASYNC221
            assert await lan.told() == 1

    in_own_network(play)


@pytest.mark.root
def test_a_flapping_link_is_told_a_few_times_a_second() -> None:
    async def play() -> None:
        make_link()
        async with watched(NAME) as lan:
            began_s = asyncio.get_running_loop().time()
            for _ in range(25):
                for state in ("down", "up"):
                    ip("link", "set", NAME, state)
                await asyncio.sleep(0.01)
            seconds = asyncio.get_running_loop().time() - began_s
            assert 1 <= lan.calls <= 1 + seconds / MIN_INTERVAL_S

    in_own_network(play)


async def test_where_the_kernel_tells_nothing_it_looks_by_itself(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here() -> socket.socket:
        raise PermissionError

    known = {"lo": "127.0.0.1"}
    monkeypatch.setattr(netlink, "listener", not_here)
    monkeypatch.setattr(interface, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(interface, "resolve_interface", known.__getitem__)
    async with watched("lo") as lan:
        await asyncio.sleep(0.05)
        assert lan.calls == 0
        known["lo"] = "127.0.0.2"
        monkeypatch.setattr(interface, "name_of", lambda _: "lo")
        await until(lambda: lan.calls)
    assert lan.calls == 1


async def test_on_loopback_nothing_ever_changes_and_after_the_end_nothing_is_said() -> None:
    async with watched("lo") as lan:
        await asyncio.sleep(0.1)
        assert lan.calls == 0
    async with watched("nosuch0") as lan:
        await asyncio.sleep(0.1)
        assert lan.calls == 0
