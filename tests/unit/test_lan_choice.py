"""What flag and settings of the LAN mean: paths, the group, and what doctor says of them."""

import ipaddress

import pytest

from services.cli.doctor import lan_finding
from unisono.config import ConfigError, Settings, load_flags
from unisono.lan.choice import AUTO_PATHS, choose_paths, multicast_group
from unisono.lan.errors import LanError

SITES = [f"site-{number}" for number in range(200)]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("auto", "auto"),
        (" auto ", "auto"),
        ("udp", "udp"),
        ("tcp,udp", "udp,tcp"),
        (" pgm , tcp,udp, tcp", "udp,tcp,pgm"),
    ],
)
def test_the_flag_takes_a_list_in_any_order_and_keeps_one_form(text: str, kept: str) -> None:
    assert load_flags({"SYNC_LAN_TRANSPORT": text}).lan_transport == kept


@pytest.mark.parametrize("text", ["", ",", "udp,", "auto,udp", "UDP", "udp tcp", "quic", 7])
def test_what_is_no_list_of_paths_is_one_sentence(text: str | int) -> None:
    with pytest.raises(ConfigError) as caught:
        load_flags({"SYNC_LAN_TRANSPORT": text})
    assert str(caught.value) == (
        f"SYNC_LAN_TRANSPORT={text}: use auto, or some of udp, tcp, pgm with commas between"
    )


@pytest.mark.parametrize("has_pgm", [True, False])
def test_auto_does_without_pgm(has_pgm: bool) -> None:
    choice = choose_paths("auto", has_pgm=has_pgm)
    assert (choice.paths, choice.missing) == (("udp", "tcp"), "")


def test_what_is_asked_by_name_is_what_is_used() -> None:
    for transport in ("udp", "tcp", "pgm", "udp,tcp", "tcp,pgm", "udp,tcp,pgm"):
        choice = choose_paths(transport, has_pgm=True)
        assert (",".join(choice.paths), choice.missing) == (transport, "")
    assert choose_paths("tcp, udp,tcp", has_pgm=False).paths == ("udp", "tcp")


def test_pgm_where_there_is_none_is_said_and_others_carry_the_beat() -> None:
    alone, beside = (choose_paths(text, has_pgm=False) for text in ("pgm", "tcp,pgm"))
    assert alone.paths == AUTO_PATHS
    assert beside.paths == ("tcp",)
    assert alone.missing.startswith("SYNC_LAN_TRANSPORT=pgm: this machine's libzmq has no PGM")
    assert "beacons go over udp and tcp;" in alone.missing
    assert "beacons go over tcp;" in beside.missing
    assert "make setup PGM=1" in beside.missing


def test_each_site_has_a_group_of_its_own_that_never_changes() -> None:
    assert multicast_group("auto", "lobby") == "239.193.90.138"
    groups = {multicast_group(Settings().multicast_group, site) for site in SITES}
    assert len(groups) == len(SITES)
    scope = ipaddress.IPv4Network("239.192.0.0/14")
    assert all(ipaddress.IPv4Address(group) in scope for group in groups)
    assert ipaddress.IPv4Address(multicast_group("auto", "")) in scope


def test_a_group_by_number_is_taken_as_it_is() -> None:
    assert multicast_group("239.192.76.0", "lobby") == "239.192.76.0"
    for wrong in ("192.168.1.1", "lobby", "", "ff02::1", "239.1.1", "AUTO"):
        with pytest.raises(LanError, match=f"UNISONO_MULTICAST_GROUP={wrong}: use auto, or") as no:
            multicast_group(wrong, "lobby")
        assert "\n" not in str(no.value)


def test_doctor_says_what_the_lan_would_use_here() -> None:
    here = {"UNISONO_LAN_INTERFACE": "lo", "UNISONO_SITE": "lobby"}
    plain = lan_finding(here, has_pgm=True)
    assert plain.good
    assert plain.text.startswith("127.0.0.1: udp to 239.193.90.138:7603 and unicast from UDP 7600,")
    assert "probes to UDP and TCP 7601" in plain.text
    assert "no pgm: SYNC_LAN_TRANSPORT=auto does without" in plain.text
    asked = here | {"SYNC_LAN_TRANSPORT": "pgm"}
    assert lan_finding(asked, has_pgm=True).text.startswith("127.0.0.1: pgm to 239.193.90.138:7602")
    absent = lan_finding(asked, has_pgm=False)
    assert (absent.good, absent.needed) == (False, False)
    assert "libzmq has no PGM" in absent.text
    for name, value in (
        ("UNISONO_LAN_INTERFACE", "nosuch0"),
        ("UNISONO_MULTICAST_GROUP", "10.0.0.1"),
        ("SYNC_LAN_TRANSPORT", "smoke"),
    ):
        wrong = lan_finding(here | {name: value}, has_pgm=True)
        assert (wrong.good, wrong.needed) == (False, True)
        assert wrong.text.startswith(f"{name}={value}: ")
