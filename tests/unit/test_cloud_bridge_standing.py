"""Which flags hold on a device, when it misses the beat, and what its machine says of itself."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from services.cloud_bridge.machine import look
from services.cloud_bridge.standing import Standing
from tests.support.bridge_link import SPEC
from unisono.config import ConfigError, Flags, load_settings
from unisono.core.mode import Mode
from unisono.core.units import NS_PER_MS, OwnNs
from unisono.lan.errors import LanError
from unisono.lan.wired import is_wired, is_wired_interface
from unisono.runtime import wallclock
from unisono.runtime.wallclock import STA_CLOCKERR, STA_UNSYNC, WallClock, read_wall_clock

ON = {"SYNC_LAN_ENABLED": "1", "SYNC_LAN_TIMEOUT_MS": "1500"}
TIMEOUT = OwnNs(1500 * NS_PER_MS)


def test_flags_of_the_process_the_site_and_the_session() -> None:
    standing = Standing("screen-2", Flags(heartbeat_s=7, status_s=7))
    assert (standing.flags.heartbeat_s, standing.flags_version) == (7, 0)
    standing.hear_flags(3, None)  # it runs that version, says the cloud: it does not send it
    assert standing.flags_version == 0
    standing.hear_flags(3, {"SYNC_HEARTBEAT_S": "9", "SYNC_NOT_KNOWN_HERE": "1"})
    assert (standing.flags.heartbeat_s, standing.flags.status_s) == (9, 7)
    assert standing.flags_version == 3
    # A session brings all that holds in it: the site's values, too.
    standing.take(replace(SPEC, flags={"SYNC_STATUS_S": "2"}, flags_version=5), OwnNs(0))
    assert (standing.flags.heartbeat_s, standing.flags.status_s) == (7, 2)
    assert standing.flags_version == 5
    standing.hear_flags(6, {"SYNC_STATUS_S": "4"})
    assert (standing.flags.status_s, standing.flags_version) == (2, 5)
    standing.take(None, OwnNs(1))
    assert (standing.flags.heartbeat_s, standing.flags_version) == (9, 3)


def test_flags_that_do_not_fit_are_not_run_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    standing = Standing("screen-2", Flags(heartbeat_s=7))
    standing.hear_flags(1, {"SYNC_HEARTBEAT_S": "8"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            standing.hear_flags(2, {"SYNC_HEARTBEAT_S": "soon"})
        assert len(caplog.records) == 1
        assert "SYNC_HEARTBEAT_S=soon" in caplog.text
    assert (standing.flags.heartbeat_s, standing.flags_version) == (8, 1)
    standing.take(replace(SPEC, flags={"SYNC_STATUS_S": "-1"}), OwnNs(0))
    assert standing.flags == Flags(heartbeat_s=7)


@pytest.mark.parametrize(
    ("device_id", "flags", "mode", "known_ns", "lost"),
    [
        ("screen-2", ON, Mode.HOLDOVER, TIMEOUT, True),
        ("screen-2", ON, Mode.CLOUD, TIMEOUT, True),
        ("screen-2", ON, Mode.CLOUD, TIMEOUT - 1, False),  # it was told of the term just now
        ("screen-2", ON, Mode.LAN, TIMEOUT, False),
        ("screen-2", ON, Mode.STOPPED, TIMEOUT, False),  # its corrector is silent
        ("screen-2", {}, Mode.CLOUD, TIMEOUT, False),  # it does not listen
        ("screen-1", ON, Mode.CLOUD, TIMEOUT, False),  # it is the master
        ("screen-3", ON, Mode.CLOUD, TIMEOUT, False),  # no member
    ],
)
def test_who_misses_the_beat(
    device_id: str, flags: dict[str, str], mode: Mode, known_ns: int, lost: bool
) -> None:
    standing = Standing(device_id, Flags())
    start = 77
    assert not standing.beat_lost(mode, OwnNs(start))
    standing.take(replace(SPEC, flags=flags), OwnNs(start))
    assert standing.beat_lost(mode, OwnNs(start + known_ns)) is lost


def test_a_new_term_gives_the_new_master_time() -> None:
    standing = Standing("screen-2", Flags())
    spec = replace(SPEC, flags=ON)
    standing.take(spec, OwnNs(0))
    # The same term told again, with other flags or members, is nothing new.
    standing.take(replace(spec, flags=ON | {"SYNC_STATUS_S": "3"}), OwnNs(TIMEOUT - 1))
    assert standing.beat_lost(Mode.HOLDOVER, TIMEOUT)
    standing.take(replace(spec, term=3), TIMEOUT)
    assert not standing.beat_lost(Mode.HOLDOVER, OwnNs(2 * TIMEOUT - 1))
    assert standing.beat_lost(Mode.HOLDOVER, OwnNs(2 * TIMEOUT))


def test_the_kernel_is_asked_about_its_clock() -> None:
    found = read_wall_clock()
    assert found is not None
    assert found.max_error_us >= found.likely_error_us >= 0
    assert found.max_error_ms == found.max_error_us / 1000


def test_a_clock_is_healthy_when_something_keeps_it_in_step() -> None:
    assert WallClock(500_000, 10).healthy  # the bound says how well, and is told as well
    assert WallClock(500_000, 10, status=0x2001).healthy  # disciplined by a daemon, in ns
    assert not WallClock(500_000, 10, status=STA_UNSYNC).healthy
    assert not WallClock(500_000, 10, status=STA_CLOCKERR).healthy
    assert not WallClock(16_000_000, 10).healthy


def test_where_the_kernel_cannot_be_asked_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for answer in (lambda: None, lambda: lambda _: -1):
        monkeypatch.setattr(wallclock, "_adjtimex", answer)
        assert read_wall_clock() is None
        found = look("127.0.0.1")
        assert (found.clock_healthy, found.clock_error_ms) == (None, None)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """The kernel's list of interfaces, with a cable, two kinds of radio and a bridge."""
    for place in ("eth0", "wlan0/wireless", "wlan1/phy80211", "br0/bridge", "lo"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


def test_cables_and_radios(sysfs: Path) -> None:
    names = ("eth0", "br0", "wlan0", "wlan1", "none")
    assert [is_wired_interface(name, sysfs) for name in names] == [True, True, False, False, None]
    assert is_wired("127.0.0.1", sysfs) is None
    assert is_wired("192.0.2.1", sysfs) is None  # nobody here has it
    assert is_wired_interface("eth0", sysfs / "absent") is None


def test_what_the_machine_says_follows_the_setting() -> None:
    assert look("127.0.0.1").wired is None
    assert look("auto").address
    with pytest.raises(LanError):
        look("nosuch0")


@pytest.mark.parametrize("path", ["api", "", "/", "//host/x", "/a?b", "/a b", "/a#b", "http://x/y"])
@pytest.mark.parametrize("name", ["HEARTBEAT", "STATUS", "COMMANDS", "ROTATE"])
def test_a_path_that_is_none_is_one_sentence(name: str, path: str) -> None:
    variable = f"UNISONO_CONTROL_PATH_{name}"
    with pytest.raises(ConfigError, match=f"{variable}=.*: use a path such as /v1/device/"):
        load_settings({"UNISONO_DEVICE_ID": "a", variable: path})


def test_paths_of_another_backend() -> None:
    values = {"UNISONO_DEVICE_ID": "a", "UNISONO_CONTROL_PATH_COMMANDS": "/api/v2/players/orders"}
    settings = load_settings(values)
    assert settings.control_path_commands == "/api/v2/players/orders"
    assert settings.control_path_status == "/v1/sync/status/runtime"
