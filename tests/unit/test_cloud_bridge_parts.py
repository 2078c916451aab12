"""The parts of the cloud-bridge by themselves: what it reports, remembers and warns of."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from services.cloud_bridge.client import CloudClient, in_clear, paths_of
from services.cloud_bridge.holding import Holding
from services.cloud_bridge.identity import Identity
from services.cloud_bridge.report import (
    LOSS_REPORTS,
    STALE_NS,
    Drifts,
    LinkObserved,
    Observed,
    lan_body,
    status_body,
)
from tests.support.fake_cloud import KEY
from unisono.bus import MemoryBus
from unisono.bus.topics import DriftSample, LinkStats, Owner
from unisono.config import Settings
from unisono.core.commands import prepare
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Member, Role, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import OwnNs
from unisono.runtime.boot import boot_id
from unisono.state import LocalState, MemoryStore, Outcome
from unisono.state.local import OUTCOMES_LIMIT

SPEC = SessionSpec(
    session_id="s",
    term=2,
    master_device_id="screen-1",
    members=(Member("screen-1", "127.0.0.1", 1, 2),),
    playlist=Playlist((MediaItem("film.mp4", 60_000_000_000),)),
    start_at_ms=1_780_000_000_000,
    secret_hex="00ff",
)


def drift(session_id: str, term: int, drift_ms: int) -> DriftSample:
    return DriftSample(
        session_id=session_id,
        term=term,
        role=Role.MASTER,
        at_own_ns=OwnNs(1),
        mode=Mode.LAN,
        player_state=PlayerState.PLAYING,
        drift_ns=drift_ms * 1_000_000,
        phase_ns=0,
        bound_ns=0,
        speed=1.0,
    )


def test_drifts_stay_with_their_session_and_term() -> None:
    desired = Desired(1, SPEC)

    def reported(observed: Observed) -> int:
        count: int = status_body("a", desired, None, observed.take())["drift_ms"]["count"]
        return count

    observed = Observed()
    observed.hear(drift("s", 2, 1), OwnNs(1))
    taken = observed.take()
    observed.put_back(taken)
    observed.hear(drift("s", 2, 2), OwnNs(2))
    assert observed.take() == Drifts(("s", 2), (1.0, 2.0))
    # Not delivered before the term or the session changed: not mixed into what came since.
    for session_id, term in (("s", 3), ("t", 3)):
        observed.hear(drift(session_id, term, 7), OwnNs(3))
        observed.put_back(taken)
        assert observed.take() == Drifts((session_id, term), (7.0,))
    # The corrector speaks of the old term until it has heard of the new one.
    observed.hear(drift("s", 1, 5), OwnNs(4))
    assert reported(observed) == 0
    observed.hear(drift("s", 2, 5), OwnNs(5))
    assert reported(observed) == 1


def link(copies: int, lost: int) -> LinkStats:
    return LinkStats(
        session_id="s",
        term=2,
        role=Role.FOLLOWER,
        received=copies + lost,
        lost=1,
        path="udp",
        copies_by_path={"udp": copies, "tcp": 5},
        lost_by_path={"udp": lost},
        rtt_ns=400_000,
        bound_ns=200_000,
    )


def test_the_lan_is_told_of_while_its_process_speaks() -> None:
    observed, sample = LinkObserved(), drift("s", 2, 1)
    assert lan_body(observed, sample, OwnNs(1)) is None
    observed.hear(link(100, 0), OwnNs(1))
    observed.hear(link(175, 25), OwnNs(2))
    assert lan_body(observed, sample, OwnNs(3)) == {
        "active": True,
        "path": "udp",
        "beacons_received": 200,
        "beacons_lost": 1,
        "bound_ms": 0.2,
        "rtt_ms": 0.4,
        "lost_ratio_by_path": {"udp": 0.25},  # of those since then; tcp was not in use
    }
    for other in (None, replace(sample, mode=Mode.HOLDOVER)):
        told = lan_body(observed, other, OwnNs(3))
        assert told is not None
        assert told["active"] is False
    assert lan_body(observed, sample, OwnNs(2 + STALE_NS + 1)) is None


def test_loss_is_that_of_the_last_minute_and_of_one_life_of_the_process() -> None:
    observed = LinkObserved()
    observed.hear(link(0, 1000), OwnNs(1))
    for second in range(LOSS_REPORTS + 1):
        observed.hear(link(20 * second, 1000), OwnNs(second))
    assert observed.lost_ratio_by_path() == {"udp": 0.0}
    observed.hear(link(0, 0), OwnNs(100))
    assert observed.lost_ratio_by_path() == {}
    observed.hear(link(10, 10), OwnNs(101))
    assert observed.lost_ratio_by_path() == {"udp": 0.5}


def test_the_boot_has_an_id_or_none(tmp_path: Path) -> None:
    assert len(boot_id()) == 36
    assert boot_id() == boot_id()
    assert boot_id(tmp_path / "none") == ""


async def test_what_is_remembered_of_commands_is_bounded() -> None:
    store = MemoryStore()
    state = LocalState(store)
    await state.put_outcome("oldest", Outcome("done", "", 0))
    bus = MemoryBus()
    holding = Holding("screen-1", state, bus.publisher(Owner.CLOUD_BRIDGE))
    await holding.restore()
    for number in range(OUTCOMES_LIMIT + 5):
        made = prepare(SPEC, 100 + number, 1)
        assert (await holding.carry_out(made, wall_ms=number, now_ms=None))[1]
    assert len(holding._outcomes) == OUTCOMES_LIMIT
    assert not (await holding.carry_out(made, wall_ms=1000, now_ms=None))[1]
    bus.close()


def test_in_clear_text_over_the_internet_one_line_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    urls = {
        "http://control.example.com": True,
        "http://93.184.216.34:8080": True,
        "http://[2606:4700::1]": True,
        "https://control.example.com": False,
        "http://localhost:8080": False,
        "http://control:8080": False,
        "http://127.0.0.1:8080": False,
        "http://[::1]:8080": False,
        "http://192.168.1.5": False,
        "http://10.1.2.3": False,
        "http://[fd00::5]:80": False,
        "http://169.254.1.1": False,
    }
    assert {url: in_clear(url) for url in urls} == urls
    with caplog.at_level(logging.WARNING):
        for url, warns in urls.items():
            caplog.clear()
            CloudClient(
                url, Identity("screen-1", f"lobby.hunter2.{KEY}"), paths=paths_of(Settings())
            )
            assert len(caplog.records) == warns, url
            assert "hunter2" not in caplog.text
