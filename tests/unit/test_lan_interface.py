"""From an interface's setting to a numeric address, on this machine's real interfaces."""

import pytest

from unisono.lan.errors import InterfaceUnknown
from unisono.lan.interface import (
    ANY_ADDRESS,
    address_of,
    is_numeric,
    listen_address,
    resolve_interface,
)


def test_loopback_by_name_and_by_number() -> None:
    assert resolve_interface("lo") == "127.0.0.1"
    assert resolve_interface("127.0.0.1") == "127.0.0.1"
    assert listen_address("lo") == "127.0.0.1"


def test_auto_is_always_some_address_and_listens_everywhere() -> None:
    assert is_numeric(resolve_interface("auto"))
    assert listen_address("auto") == ANY_ADDRESS


@pytest.mark.parametrize("setting", ["nosuch0", "203.0.113.77", "x" * 40, ""])
def test_what_is_not_there_is_one_sentence(setting: str) -> None:
    with pytest.raises(InterfaceUnknown, match=f"UNISONO_LAN_INTERFACE={setting}: no") as caught:
        resolve_interface(setting)
    assert "ip -4 addr" in str(caught.value)


def test_names_are_no_addresses() -> None:
    assert address_of("nosuch0") is None
    for name in ("localhost", "10.0.0", "10.0.0.256", "::1", ""):
        assert not is_numeric(name)
