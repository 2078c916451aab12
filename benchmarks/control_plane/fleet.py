"""A fleet of devices that hold a session each, and the calls that they make by the clock."""

import asyncio
import ipaddress
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.control_plane.wire import Answer, Line, request

# In ten seconds of the default cadence: two heartbeats, five statuses, five polls.
CADENCE = "HSCSCSHCSCSC"
SETUP_LINES = 16
FILM = {"uri": "film.mp4", "duration_ms": 3_600_000}
TOKENS_AT_ONCE = 100
BOOT_ID = "6f0c1d6e-6c1b-4c62-9b62-1f6b1d0a7c11"


@dataclass(frozen=True, slots=True)
class Server:
    """Where the control plane listens, and the tokens of those who run it."""

    host: str
    port: int
    admin: str
    operator: str


@dataclass(slots=True)
class Device:
    """One device: its bearer token, what it holds, and its three calls as bytes."""

    site: str
    number: int
    bearer: str = ""
    session_id: str = ""
    term: int = 0
    revision: int = 0
    calls: dict[str, bytes] | None = None

    @property
    def name(self) -> str:
        """Its id."""
        return f"screen-{self.number}"

    @property
    def address(self) -> str:
        """Its address on the LAN."""
        return f"10.{self.number // 65_025}.{self.number // 255 % 255}.{self.number % 255 + 1}"

    @property
    def public_address(self) -> str:
        """Where its calls come from: one that hardly any other device has."""
        return str(ipaddress.IPv4Address(zlib.crc32(f"{self.site}/{self.number}".encode())))

    def prepare(self, interval_s: float) -> None:
        """Work its calls out, with heartbeats every ``interval_s``."""
        holds = {"session_id": self.session_id, "term": self.term, "mode": "lan"}
        heartbeat = holds | {
            "address": self.address, "beacon_port": 7600, "probe_port": 7601, "player": "playing",
            "version": "0.1.0", "revision": self.revision, "interval_s": interval_s,
            "boot_id": BOOT_ID, "player_version": "mpv 0.40.0", "wired": True,
            "clock_healthy": True, "clock_error_ms": 1.5,
        }  # fmt: skip
        drift = {
            "count": 20, "mean": -0.02, "mean_abs": 0.05, "p50": 0.04, "p95": 0.2, "p99": 0.3,
            "max": 0.4, "within_50ms_ratio": 1.0,
        }  # fmt: skip
        lan = {
            "active": True, "path": "udp", "beacons_received": 12_000, "beacons_lost": 3,
            "bound_ms": 0.2, "rtt_ms": 0.4, "lost_ratio_by_path": {"udp": 0.01},
        }  # fmt: skip
        status = holds | {
            "role": "follower",
            "player_state": "playing",
            "drift_ms": drift,
            "lan": lan,
        }
        after = f"/v1/device/commands?after={self.revision}"
        self.calls = {
            "H": request("POST", "/v1/device/heartbeat", self.bearer, heartbeat),
            "S": request("POST", "/v1/sync/status/runtime", self.bearer, status),
            "C": request("GET", after, self.bearer),
        }


def call(devices: list[Device], index: int, cadence: str) -> bytes:
    """The ``index``-th call of the fleet: each device in turn, at its own point of the cadence."""
    device = devices[index % len(devices)]
    turn = index // len(devices) + index % len(devices)
    assert device.calls is not None  # noqa: S101  (a fleet that was set up)
    return device.calls[cadence[turn % len(cadence)]]


async def set_up(server: Server, sites: dict[str, int], interval_s: float) -> list[Device]:
    """Enrol devices at each site, let them call in, start a session and let them take it up."""
    found: list[Device] = []

    async def site(line: Line, name: str) -> None:
        found.extend(await _site(server, line, name, sites[name], interval_s))

    await _each(server, list(sites), site)
    found.sort(key=lambda device: (device.number, device.site))
    return found


async def _site(
    server: Server, line: Line, site: str, count: int, interval_s: float
) -> list[Device]:
    devices = [Device(site, number) for number in range(count)]
    tokens: list[str] = []
    while len(tokens) < count:
        body = {"count": min(TOKENS_AT_ONCE, count - len(tokens))}
        asked = request("POST", f"/v1/sites/{site}/enroll-tokens", server.admin, body)
        tokens += (await _granted(line, asked)).document()["tokens"]
    for device, token in zip(devices, tokens, strict=True):
        wish = {"token": token, "device_id": device.name}
        asked = request("POST", "/v1/device/enroll", body=wish, address=device.public_address)
        enrolled = (await _granted(line, asked)).document()["secret"]
        device.bearer = f"{device.name}.{enrolled.rpartition('.')[0]}"
        device.prepare(interval_s)
        await _granted(line, _calls(device)["H"])
    session = {"site": site, "playlist": [FILM], "start_delay_ms": 0}
    await _granted(line, request("POST", "/v1/sessions", server.operator, session))
    for device in devices:
        for command in (await _granted(line, _calls(device)["C"])).document()["commands"]:
            device.session_id, device.term = command["session_id"], command["term"]
            device.revision = command["seq"]
            path = f"/v1/device/commands/{command['command_id']}/ack"
            await _granted(line, request("POST", path, device.bearer, {"outcome": "done"}))
        device.prepare(interval_s)
    return devices


def _calls(device: Device) -> dict[str, bytes]:
    assert device.calls is not None  # noqa: S101
    return device.calls


async def _granted(line: Line, sent: bytes) -> Answer:
    while True:
        answer = await line.ask(sent)
        if answer.status < 300:
            return answer
        if answer.status not in (429, 503) or answer.retry_after_s is None:
            path = sent.split(b" ", 2)[1].decode()
            raise RuntimeError(f"{path} was answered {answer.status}: {answer.body.decode()}")
        await asyncio.sleep(answer.retry_after_s)


async def _each(
    server: Server, names: list[str], work: Callable[[Line, str], Awaitable[None]]
) -> None:
    async def worker() -> None:
        async with lines(server, 1) as (line,):
            while names:
                await work(line, names.pop())

    await asyncio.gather(*(worker() for _ in range(min(SETUP_LINES, len(names)))))


@asynccontextmanager
async def lines(server: Server, count: int) -> AsyncIterator[list[Line]]:
    """So many connections, closed at the end."""
    made = [await Line.to(server.host, server.port) for _ in range(count)]
    try:
        yield made
    finally:
        for line in made:
            line.close()
