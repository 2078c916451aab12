"""The control plane's API, as operators and the demo use it.

ApiError
 +-- ApiAwayError     no answer: not there yet, or gone; asking again may help
 +-- ApiRefusedError  an answer that is no success; ``code`` is the control plane's own word
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from unisono.core.units import ns_to_ms
from unisono.runtime import UserError

_TIMEOUT_S = 5.0
_RETRY_S = 0.1


class ApiError(UserError):
    """A call that did not succeed; the message is one sentence."""


class ApiAwayError(ApiError):
    """No answer."""


class ApiRefusedError(ApiError):
    """Refused: ``status`` is HTTP's, ``code`` the control plane's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ControlApi:
    """One control plane; ``token`` is the operators' or administrators' token ("" for none)."""

    def __init__(self, url: str, token: str = "") -> None:
        if not _is_http(url):
            raise ApiError(f"{url}: not an http(s) address, such as http://127.0.0.1:8080")
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.AsyncClient(
                base_url=self._url, headers=headers, timeout=_TIMEOUT_S, trust_env=False
            )
        except httpx.InvalidURL as error:
            raise ApiError(f"{url}: {error}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def wait_ready(self, limit_s: float) -> None:
        """Return once it is healthy; the last failure after ``limit_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + limit_s
        while True:
            try:
                await self._call("GET", "/healthz", holds="status")
                return
            except ApiError:
                if loop.time() > deadline_s:
                    raise
            await asyncio.sleep(_RETRY_S)

    async def make_tokens(self, site: str, count: int) -> list[str]:
        """``count`` one-time enrolment tokens; the administrators' token is needed."""
        path = f"/v1/sites/{_segment(site)}/enroll-tokens"
        reply = await self._call("POST", path, {"count": count}, holds="tokens")
        return [str(token) for token in reply["tokens"]]

    async def enroll(self, token: str, device_id: str | None = None) -> dict[str, str]:
        """Enrol with a token: ``device_id``, ``site`` and ``secret``."""
        wish = {"device_id": device_id} if device_id else {}
        body = {"token": token, **wish}
        reply = await self._call("POST", "/v1/device/enroll", body, holds="secret")
        return {name: str(reply[name]) for name in ("device_id", "site", "secret")}

    async def start_session(
        self,
        site: str,
        device_ids: Sequence[str],
        playlist: Sequence[tuple[str, float]],
        *,
        start_delay_s: float,
        replace: bool = False,
        master: str | None = None,
        flags: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """A new session of (uri, duration in ms) films; the session as the API shows it.

        ``replace`` stops the sessions in the way; ``master`` None has one elected.
        """
        body = {
            "site": site,
            "device_ids": list(device_ids),
            "playlist": [{"uri": uri, "duration_ms": length} for uri, length in playlist],
            "start_delay_ms": round(1000 * start_delay_s),
            "replace": replace,
            "master": master,
            "flags": flags or {},
        }
        return await self._call("POST", "/v1/sessions", body)

    async def stop_session(self, session_id: str) -> dict[str, Any]:
        """Stop a session."""
        return await self._call("POST", f"/v1/sessions/{_segment(session_id)}/stop")

    async def show_session(self, session_id: str) -> dict[str, Any]:
        """The session now."""
        return await self._call("GET", f"/v1/sessions/{_segment(session_id)}")

    async def accounts(self) -> dict[str, Any]:
        """Every account, without its password; this and what follows is for administrators."""
        return await self._call("GET", "/v1/accounts", holds="accounts")

    async def add_account(
        self, name: str, role: str, password: str, sites: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Create an account; no ``sites`` means all of them."""
        body = {"name": name, "role": role, "password": password, "sites": list(sites)}
        return await self._call("POST", "/v1/accounts", body, holds="name")

    async def remove_account(self, name: str) -> dict[str, Any]:
        """Remove an account."""
        return await self._call("DELETE", f"/v1/accounts/{_segment(name)}", holds="")

    async def revoke_device(self, site: str, device_id: str) -> dict[str, Any]:
        """Let a device in no more."""
        return await self._call("DELETE", _device(site, device_id), holds="device_id")

    async def rotate_device(self, site: str, device_id: str) -> dict[str, Any]:
        """Have a device fetch another secret at its next call."""
        return await self._call("POST", f"{_device(site, device_id)}/rotate", {}, holds="")

    async def flags(self, site: str) -> dict[str, Any]:
        """The flags that are set at a site, and how they came to be; operators may, too."""
        return await self._call("GET", f"/v1/sites/{_segment(site)}/flags", holds="version")

    async def change_flags(
        self, site: str, values: Mapping[str, str | None], *, device_id: str | None, why: str
    ) -> dict[str, Any]:
        """Set flags of a site or of one of its devices; None removes one."""
        body = {"values": dict(values), "device_id": device_id, "why": why}
        return await self._call("PATCH", f"/v1/sites/{_segment(site)}/flags", body, holds="version")

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        holds: str = "session_id",
    ) -> dict[str, Any]:
        """Ask; an answer of success is one that has the field ``holds`` ("": any at all)."""
        try:
            reply = await self._client.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ApiAwayError(
                f"the control plane at {self._url} does not answer: {reason}"
            ) from None
        try:
            content = reply.json()
        except ValueError:
            content = None
        if reply.is_success and isinstance(content, dict) and (not holds or holds in content):
            return content
        problem = content.get("error") if isinstance(content, dict) else None
        if isinstance(problem, dict) and "message" in problem:
            code, message = str(problem.get("code", "")), str(problem["message"])
        elif reply.is_success or reply.status_code == httpx.codes.NOT_FOUND:
            code, message = "", f"{self._url} is not an Unísono control plane"
        else:  # of a proxy, perhaps, whose control plane is away
            code, message = "", f"{self._url} answered {reply.status_code}"
        raise ApiRefusedError(reply.status_code, code, message)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _segment(name: str) -> str:
    """A name as one segment of a path, whatever it holds."""
    if name in ("", ".", ".."):  # no quoting keeps these from meaning another path
        raise ApiError(f'"{name}" is no name of a session or a site')
    return quote(name, safe="")


def _device(site: str, device_id: str) -> str:
    return f"/v1/sites/{_segment(site)}/devices/{_segment(device_id)}"


def playlist_of(films: Sequence[Path]) -> list[tuple[str, float]]:
    """Films as the API wants them: absolute path and length in ms; UserError when unfit."""
    from unisono.player.protocol import MediaError  # noqa: PLC0415  (only for films)
    from unisono.player.testfilm import probe_duration_ns  # noqa: PLC0415

    playlist = []
    for film in films:
        try:
            playlist.append((str(film.absolute()), ns_to_ms(probe_duration_ns(film))))
        except MediaError as error:  # which quotes a tool that names the film once more
            raise UserError(str(error).replace(f"({film}: ", "(")) from None
    return playlist
