"""The switch's decisions, without a device or a clock; and the profiles that it is given."""

import pytest

from services.cli.lab.fabric import Delivery, Fabric
from services.cli.lab.lateness import Lateness
from services.cli.lab.link import Jitter, LinkRules, Loss
from services.cli.lab.profiles import PROFILES, describe, find_profile

MS = 1_000_000
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
MAC = {host: bytes([2, 0, 0, 0, 0, number]) for number, host in enumerate("abc")}


def frame(source: str, target: bytes) -> bytes:
    return target + MAC[source] + b"\x08\x00" + b"payload"


def fabric() -> Fabric:
    made = Fabric(["a", "b", "c", "outside"], 1, "outside")
    for host in "abc":
        made.arrive(0, host, frame(host, BROADCAST))
    list(made.deliveries(0))
    return made


def reached(made: Fabric, source: str, target: bytes, at_ns: int = 0) -> list[str]:
    made.arrive(at_ns, source, frame(source, target))
    return [delivery.host for delivery in made.deliveries(10**12)]


def test_known_addresses_get_their_frames_alone_and_nobody_his_own() -> None:
    made = fabric()
    assert reached(made, "a", MAC["b"]) == ["b"]
    assert reached(made, "a", MAC["a"]) == []
    assert reached(made, "a", bytes([2, 9, 9, 9, 9, 9])) == ["b", "c", "outside"]
    assert reached(made, "b", BROADCAST) == ["a", "c", "outside"]
    assert reached(made, "b", GROUP) == ["a", "c", "outside"]


def test_an_address_that_moves_is_found_where_it_was_heard_last() -> None:
    made = fabric()
    made.arrive(0, "c", frame("b", BROADCAST))
    assert reached(made, "a", MAC["b"])[-1] == "c"


def test_what_is_no_frame_is_dropped() -> None:
    made = fabric()
    made.arrive(0, "a", BROADCAST + MAC["a"])
    assert made.due_ns is None


def test_both_links_of_a_path_add_up_and_deliveries_come_in_order() -> None:
    made = fabric()
    made.ports["a"].leaving.rules = LinkRules(delay_ms=3)
    made.ports["b"].towards.rules = LinkRules(delay_ms=5)
    made.arrive(0, "a", frame("a", BROADCAST))
    made.arrive(MS, "c", frame("c", MAC["b"]))
    assert made.due_ns == MS  # when the second is at the switch
    assert list(made.deliveries(3 * MS - 1)) == []
    assert made.due_ns == 3 * MS
    due = [(delivery.due_ns // MS, delivery.host) for delivery in made.deliveries(20 * MS)]
    assert due == [(3, "c"), (3, "outside"), (6, "b"), (8, "b")]
    assert made.due_ns is None


def test_each_receiver_of_a_flood_has_dice_of_its_own() -> None:
    made = fabric()
    for host in "bc":
        made.ports[host].towards.rules = LinkRules(jitter=Jitter.EXPONENTIAL, jitter_ms=5)
    made.arrive(0, "a", frame("a", GROUP))
    due = {delivery.host: delivery.due_ns for delivery in made.deliveries(10**12)}
    assert due["b"] != due["c"]


def test_broadcast_passes_where_multicast_is_blocked() -> None:
    made = fabric()
    made.ports["b"].towards.rules = LinkRules(multicast_blocked=True)
    assert reached(made, "a", GROUP) == ["c", "outside"]
    assert reached(made, "a", BROADCAST) == ["b", "c", "outside"]
    assert made.ports["b"].towards.lost == {Loss.BLOCKED: 1}


def test_only_datagrams_are_stopped_where_udp_is_blocked() -> None:
    made = fabric()
    made.ports["b"].towards.rules = LinkRules(udp_blocked=True)
    header = MAC["b"] + MAC["a"] + b"\x08\x00" + bytes(9)
    for protocol, expected in ((17, []), (6, ["b"])):
        made.arrive(0, "a", header + bytes([protocol]) + bytes(20))
        assert [delivery.host for delivery in made.deliveries(10**12)] == expected
    assert reached(made, "a", BROADCAST) == ["b", "c", "outside"]


def test_parts_hear_themselves_and_the_machine_until_healed() -> None:
    made = fabric()
    made.partition([["a"]])
    assert reached(made, "a", BROADCAST) == ["outside"]
    assert reached(made, "b", BROADCAST) == ["c", "outside"]
    assert reached(made, "a", MAC["b"]) == []
    assert made.ports["b"].towards.lost == {Loss.DOWN: 2}
    with pytest.raises(KeyError):
        made.partition([["b"], ["nobody"]])
    assert reached(made, "b", MAC["c"]) == ["c"]  # what was refused has changed nothing
    made.partition([])
    assert reached(made, "a", BROADCAST) == ["b", "c", "outside"]


def test_what_could_not_be_handed_over_counts_as_lost() -> None:
    made = fabric()
    before = made.ports["b"].towards.carried
    made.arrive(7, "a", frame("a", MAC["b"]))
    assert list(made.deliveries(7)) == [Delivery(7, "b", frame("a", MAC["b"]))]
    made.unwritable("b")
    assert made.ports["b"].towards.carried == before
    assert made.ports["b"].towards.lost == {Loss.UNWRITABLE: 1}


def test_lateness_is_told_by_rank() -> None:
    late = Lateness()
    assert late.figures_us() == {"count": 0, "p50": None, "p99": None, "max": None}
    for late_us in range(100):
        late.add(late_us * 1000 + 300)
    late.add(50_000_000)
    assert late.figures_us() == {"count": 101, "p50": 50, "p99": 99, "max": 50_000}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_cloud_is_far_in_every_profile_but_wired(profile: object) -> None:
    found = find_profile(getattr(profile, "name", ""))
    assert found is profile
    far = found.towards("control", "control")
    assert far == found.leaving("control", "control", "screen-1")
    assert (far.delay_ms == 40) == (found.name != "wired")


def test_one_way_of_the_asymmetric_profile_is_four_ms_longer() -> None:
    lopsided = find_profile("asymmetric")

    def path_ms(source: str, target: str) -> float:
        leaving = lopsided.leaving(source, "control", "screen-1")
        return leaving.delay_ms + lopsided.towards(target, "control").delay_ms

    assert path_ms("screen-1", "screen-2") == pytest.approx(0.2)
    assert path_ms("screen-2", "screen-1") == pytest.approx(4.2)


def test_rules_are_told_in_words() -> None:
    assert describe(LinkRules()) == "clear"
    assert describe(LinkRules(down=True)) == "down"
    every = LinkRules(
        delay_ms=1, burst_enter_share=0.01, burst_leave_share=0.2, duplicate_share=0.03,
        rate_kbits=500, multicast_blocked=True,
    )  # fmt: skip
    assert describe(every) == (
        "1 ms, bursts (1 % in, 20 % out, 100 % loss), 3 % twice, 500 kbit/s, no multicast"
    )
