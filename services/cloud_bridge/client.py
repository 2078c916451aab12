"""The cloud's API as the bridge calls it: typed requests, checked replies, nothing waits long."""

import asyncio
import ipaddress
import logging
import math
import re
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from services.cloud_bridge.errors import CloudAway, CloudNonsense, CloudRefused, CloudRejected
from services.cloud_bridge.identity import Identity
from unisono.config import Settings
from unisono.core.commands import AckOutcome
from unisono.core.errors import UserError

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_S = 3.0
READ_S = 5.0
# The whole call, however slowly the bytes drip.
TOTAL_S = 8.0
# Between calls of a quiet device; a new connection costs a TLS handshake.
KEEP_ALIVE_S = 60.0
# A PREPARE of a thousand films has half of this.
MAX_REPLY_BYTES = 1024 * 1024
# It travels in a header: printable, and no longer than any secret is.
_SECRET = re.compile(r"[!-~]{16,256}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a control plane, or a backend that stands for one, takes each call."""

    heartbeat: str
    status: str
    commands: str
    rotate: str


def paths_of(settings: Settings) -> Paths:
    """The paths that the settings name."""
    return Paths(
        heartbeat=settings.control_path_heartbeat,
        status=settings.control_path_status,
        commands=settings.control_path_commands,
        rotate=settings.control_path_rotate,
    )


@dataclass(frozen=True, slots=True)
class Hint:
    """The session that the cloud wants this device in ("": none), and when to call next.

    ``flags`` are the site's, of ``flags_version``, for a device without a session that runs
    others. ``rotate``: it is to fetch another secret. Telemetry up to ``delivered_seq`` was taken.
    """

    server_time_ms: int
    session_id: str = ""
    state: str = ""
    term: int = 0
    revision: int = 0
    next_poll_s: float | None = None
    flags_version: int = 0
    flags: dict[str, str] | None = None
    rotate: bool = False
    delivered_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """Commands as they came, not yet checked, so that one bad command does not hide the others."""

    commands: tuple[dict[str, Any], ...]
    next_poll_s: float | None = None
    server_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """The secret that takes the place of the present one when it is used."""

    secret: str


class CloudClient:
    """The connection of the device ``identity`` to the control plane at ``url``.

    Every call raises a `CloudError` within `TOTAL_S` when it does not succeed. `UserError` when
    ``url`` is no address of a control plane; one line in the log when it leads over the internet
    in clear text.
    """

    def __init__(
        self, url: str, identity: Identity, *, paths: Paths, total_s: float = TOTAL_S
    ) -> None:
        _check_url(url)
        if in_clear(url):
            _log.warning(
                "UNISONO_CONTROL_URL leads to %s in clear text, which shows the device's secret "
                "to whoever is on the way: use https://",
                httpx.URL(url).host,
            )
        self._identity = identity
        self._paths = paths
        self._total_s = total_s
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(min(READ_S, total_s), connect=min(CONNECT_S, total_s)),
            limits=httpx.Limits(max_connections=4, keepalive_expiry=KEEP_ALIVE_S),
            # Plain HTTP is for a control plane next door: no proxy lies between.
            trust_env=url.startswith("https:"),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def heartbeat(self, body: dict[str, Any]) -> Hint:
        """*Device heartbeat*."""
        return await self._call(Hint, "POST", self._paths.heartbeat, body)

    async def status(self, body: dict[str, Any]) -> Hint:
        """*Sync status runtime*."""
        return await self._call(Hint, "POST", self._paths.status, body)

    async def commands(self, after: int) -> Polled:
        """*Device commands*, poll: those with a seq above ``after``."""
        return await self._call(Polled, "GET", f"{self._paths.commands}?after={after}")

    async def ack(self, command_id: str, outcome: AckOutcome, detail: str) -> None:
        """*Device commands*, ack."""
        path = f"{self._paths.commands}/{quote(command_id, safe='')}/ack"
        body = {"outcome": outcome.value, "detail": detail[:1024]}
        await self._call(dict[str, Any], "POST", path, body)

    async def rotate(self) -> str:
        """Another secret for this device; the present one is good until the new one is used."""
        secret = (await self._call(Rotated, "POST", self._paths.rotate, {})).secret
        if _SECRET.fullmatch(secret) is None:
            raise CloudNonsense("nonsense", f"{self._http.base_url} gave out an unfit secret")
        return secret

    async def _call(self, kind: type[T], method: str, path: str, body: Any = None) -> T:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {self._identity.bearer}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(self._total_s),
                self._http.stream(method, path, content=content, headers=headers) as reply,
            ):
                text = await _bounded(reply)
        except (TimeoutError, httpx.TimeoutException):
            raise CloudAway("timeout", f"no answer from {self._http.base_url} in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise CloudAway("away", f"cannot reach {self._http.base_url}: {reason}") from None
        _check(reply, text)
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            raise CloudNonsense(
                "nonsense", f"{self._http.base_url} does not answer like a control plane: {error}"
            ) from None


def _check_url(url: str) -> None:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UserError(
            f"UNISONO_CONTROL_URL={url}: use an address such as https://control.example.com"
        )


def in_clear(url: str) -> bool:
    """Whether calls to ``url`` cross the internet in clear text, as far as the address tells.

    Not those to this machine or to a private network. A name with dots may be anywhere.
    """
    parts = httpx.URL(url)
    if parts.scheme != "http":
        return False
    try:
        address = ipaddress.ip_address(parts.host)
    except ValueError:
        return "." in parts.host.rstrip(".")
    return not (address.is_loopback or address.is_private)


async def _bounded(reply: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in reply.aiter_bytes():
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise CloudNonsense("nonsense", f"the reply is larger than {MAX_REPLY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _check(reply: httpx.Response, text: bytes) -> None:
    """Raise what the status says."""
    status = reply.status_code
    if status in (httpx.codes.OK, httpx.codes.CREATED):
        return
    sentence = f"the cloud answered {status}{_reason(text)}"
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise CloudRefused(str(status), sentence, _retry_after_s(reply))
    if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
        raise CloudAway(str(status), sentence, _retry_after_s(reply))
    if status >= 400:
        raise CloudRejected(str(status), sentence, _retry_after_s(reply))
    raise CloudNonsense(str(status), f"{sentence}: is UNISONO_CONTROL_URL right?")


def _reason(text: bytes) -> str:
    """The message of an error body, if it is one."""
    try:
        message = msgspec.json.decode(text)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return ""
    return f": {str(message)[:200]}"


def _retry_after_s(reply: httpx.Response) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is not used by control planes."""
    try:
        seconds = float(reply.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
