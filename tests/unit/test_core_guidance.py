"""Guidance: one mode and one target out of the cloud's word and the LAN's."""

from dataclasses import replace

from unisono.core.clockmap import ClockMap
from unisono.core.guidance import WALL_BOUND_NS, Guidance, LanWord, guide, heard
from unisono.core.mode import Mode, ModeRules
from unisono.core.session import Member, SessionSpec
from unisono.core.target import Target
from unisono.core.timeline import MediaItem, Playlist, Timeline
from unisono.core.units import OwnNs, WallNs

MS_NS = 1_000_000
S_NS = 1000 * MS_NS
LENGTH_NS = 60 * S_NS
WALL_ZERO_NS = 1_800_000_000 * S_NS  # the wall clock when the own clock reads zero
START_MS = (WALL_ZERO_NS + 1000 * S_NS) // MS_NS
RULES = ModeRules(
    lan_enabled=True,
    timeout_ns=1500 * MS_NS,
    settle_ns=1000 * MS_NS,
    max_bound_ns=20 * MS_NS,
    fallback_to_cloud=True,
)
SESSION = SessionSpec(
    session_id="s1",
    term=1,
    master_device_id="a",
    members=(Member("a", "127.0.0.1", 1, 2), Member("b", "127.0.0.1", 3, 4)),
    playlist=Playlist((MediaItem("film.mp4", LENGTH_NS),)),
    start_at_ms=START_MS,
    secret_hex="00" * 32,
)
# The master's clock is 500 s ahead, and the wall clock of this device is 7 ms wrong: the LAN
# knows better, and the two targets differ by exactly that.
WRONG_WALL_NS = 7 * MS_NS
MAP = ClockMap(OwnNs(1000 * S_NS), 500 * S_NS, 0, 100_000, 1_000)
TIMELINE = Timeline(1500 * S_NS, LENGTH_NS)


def word(at_ns: int, *, silent_ms: int = 0, session_id: str = "s1", term: int = 1) -> LanWord:
    beacon_ns = OwnNs(at_ns - silent_ms * MS_NS)
    since_ns = OwnNs(at_ns - 5 * S_NS)
    return LanWord(session_id, term, MAP, TIMELINE, beacon_ns, since_ns)


def at(
    guidance: Guidance, own_s: float, session: SessionSpec | None = SESSION
) -> tuple[Guidance, Target | None]:
    own_ns = OwnNs(round(own_s * S_NS))
    wall_ns = WallNs(WALL_ZERO_NS + own_ns + WRONG_WALL_NS)
    return guide(guidance, session=session, rules=RULES, now_ns=own_ns, wall_ns=wall_ns)


def in_lan_mode() -> Guidance:
    guidance, _ = at(Guidance(), 1009.9)
    guidance, _ = at(heard(guidance, word(1010 * S_NS)), 1010)
    assert guidance.state.mode is Mode.LAN
    return guidance


def test_without_a_session_there_is_nothing_to_play() -> None:
    guidance, target = at(heard(Guidance(), word(1010 * S_NS)), 1010, session=None)
    assert (guidance.state.mode, target) == (Mode.STOPPED, None)


def test_cloud_mode_follows_the_wall_clock() -> None:
    guidance, target = at(Guidance(), 1010)
    assert guidance.state.mode is Mode.CLOUD
    assert target is not None
    assert target.phase_ns(OwnNs(1010 * S_NS)) == 10 * S_NS + WRONG_WALL_NS
    assert target.bound_ns(OwnNs(1010 * S_NS)) == WALL_BOUND_NS


def test_lan_mode_follows_the_masters_timeline() -> None:
    guidance, target = at(in_lan_mode(), 1010.1)
    assert target is not None
    assert target.phase_ns(OwnNs(1010 * S_NS)) == 10 * S_NS
    assert guidance.transitions == {"stopped>cloud": 1, "cloud>lan": 1}


def test_silence_is_held_over_on_the_last_map_and_the_phase_does_not_move() -> None:
    guidance, before = at(in_lan_mode(), 1011)
    guidance, after = at(guidance, 1012)
    assert guidance.state.mode is Mode.HOLDOVER
    assert before is not None
    assert after is not None
    own_ns = OwnNs(1012 * S_NS)
    assert after.phase_ns(own_ns) == before.phase_ns(own_ns)


def test_holdover_ends_in_the_cloud_once_the_bound_is_too_wide() -> None:
    guidance, _ = at(in_lan_mode(), 1012)
    # 1 ppm of doubt needs five and a half hours to grow to 20 ms.
    guidance, _ = at(guidance, 1010 + 19_000)
    assert guidance.state.mode is Mode.HOLDOVER
    guidance, _ = at(guidance, 1010 + 21_000)
    assert guidance.state.mode is Mode.CLOUD
    assert guidance.state.reason == "bound_too_wide"


def test_a_new_term_without_a_map_yet_keeps_the_last_good_word() -> None:
    guidance = in_lan_mode()
    unknown = replace(word(1011 * S_NS, term=2), clock_map=None, timeline=None)
    guidance, target = at(heard(guidance, unknown), 1011)
    assert target is not None
    assert target.phase_ns(OwnNs(1010 * S_NS)) == 10 * S_NS


def test_the_word_on_another_session_is_no_guide() -> None:
    guidance = heard(Guidance(), word(1010 * S_NS, session_id="s0"))
    guidance, _ = at(guidance, 1009.9)
    guidance, target = at(guidance, 1010)
    assert guidance.state.mode is Mode.CLOUD
    assert target is not None
    assert target.bound_ns(OwnNs(1010 * S_NS)) == WALL_BOUND_NS


def test_a_session_that_replaces_another_is_no_loss_of_the_lan() -> None:
    guidance, target = at(in_lan_mode(), 1010.1, session=replace(SESSION, session_id="s2"))
    assert guidance.state.mode is Mode.CLOUD
    assert guidance.state.reason == "another_session"
    assert target is not None


def test_time_in_each_mode_adds_up() -> None:
    guidance = Guidance()
    for tenth in range(100):
        own_ns = 1000 * S_NS + tenth * 100 * MS_NS
        guidance, _ = at(heard(guidance, word(own_ns)), own_ns / S_NS)
    assert sum(guidance.mode_ns.values()) == 99 * 100 * MS_NS
    assert guidance.mode_ns[Mode.LAN] == 98 * 100 * MS_NS
