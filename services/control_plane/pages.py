"""The dashboard page: static files of this package, and the table of flags that it edits.

The page holds no secret and knows nothing of a site before somebody logs in. Only the files that
are in the package are served, each from memory: a path is looked up, never opened.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from services.control_plane.errors import ApiError
from unisono.config.flags import PREFIX, Flags
from unisono.config.table import rows

HOME = "/dashboard/"
FLAGS_NAME = "flags.json"
_DIRECTORY = Path(__file__).parent / "dashboard"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",  # LICENSE and VERSION of what is vendored
}
# No inline script or style: what a device or a person has typed cannot become code.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# Names of the files stay the same from version to version: ask each time, and mostly hear 304.
CACHE = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    content: bytes
    media_type: str
    etag: str


router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Let ``app`` serve the dashboard."""
    app.include_router(router)


@router.get("/", name="home")
async def home() -> RedirectResponse:
    """To the dashboard."""
    return RedirectResponse(HOME, status_code=307)


@router.get("/dashboard", name="dashboard")
async def bare() -> RedirectResponse:
    """To the dashboard, whose relative addresses need the slash."""
    return RedirectResponse(HOME, status_code=307)


@router.api_route("/dashboard/{path:path}", methods=["GET", "HEAD"], name="dashboard")
async def page(path: str, request: Request) -> Response:
    """One file of the dashboard; 304 when the browser has it."""
    asset = assets().get(path or "index.html")
    if asset is None:
        raise ApiError(404, "not_found", f"there is no page /dashboard/{path[:80]}")
    headers = {"ETag": asset.etag, "Cache-Control": CACHE, "Content-Security-Policy": POLICY}
    if _has(request.headers.get("if-none-match", ""), asset.etag):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


@functools.cache
def assets() -> Mapping[str, Asset]:
    """Every file that is served, by its path below ``/dashboard/``."""
    found = {
        path.relative_to(_DIRECTORY).as_posix(): _asset(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(_DIRECTORY.rglob("*"))
        if path.is_file() and path.suffix in _TYPES and not path.name.startswith(".")
    }
    table = json.dumps(flag_table()).encode()
    return {**found, FLAGS_NAME: _asset(table, _TYPES[".json"])}


def flag_table() -> list[dict[str, Any]]:
    """Each ``SYNC_*`` flag with its kind, default, unit, bounds and choices, for the editor.

    Those of its choices that are in ``several`` may stand together, with commas between.
    """
    return [
        {
            "name": line.name,
            "kind": line.kind.__name__,
            "default": line.default,
            "unit": line.unit,
            "low": line.low,
            "high": line.high,
            "choices": list(line.choices),
            "several": list(line.several),
        }
        for line in rows(Flags, PREFIX)
    ]


def _asset(content: bytes, media_type: str) -> Asset:
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _has(header: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names that tag; proxies may have made it a weak one."""
    return any(part.strip().removeprefix("W/") == etag for part in header.split(","))
