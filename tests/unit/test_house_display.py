"""A display counts only when it takes a connection."""

import socket
from pathlib import Path

import pytest

from services.cli.demo.display import reachable


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DISPLAY": ""},
        {"DISPLAY": "nonsense"},
        {"DISPLAY": ":64999"},
        {"DISPLAY": "unix:64999.0"},
        {"DISPLAY": "127.0.0.1:64999"},  # no such port
        {"DISPLAY": "a..b:0"},  # no such name
        {"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": "/no/where"},
    ],
)
def test_a_display_that_is_named_but_not_there(environment: dict[str, str]) -> None:
    assert not reachable(environment)


@pytest.mark.parametrize("name", [":64998", ":64998.1", "unix:64998"])
def test_an_x_server_on_this_machine(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X64998")
        server.listen()
        assert reachable({"DISPLAY": name})


def test_an_x_server_of_another_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1] - 6000
        assert reachable({"DISPLAY": f"127.0.0.1:{number}.0"})
    assert not reachable({"DISPLAY": f"127.0.0.1:{number}.0"})


def test_a_wayland_compositor(short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_dir / "wayland-7"))
        server.listen()
        assert reachable({"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(short_dir)})
        assert reachable({"WAYLAND_DISPLAY": str(short_dir / "wayland-7")})
