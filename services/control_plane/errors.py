"""Errors as callers see them: one JSON shape, one clear sentence."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from unisono.core.site_document import Refused
from unisono.state import StateError, StateUnavailable

RETRY_AFTER_S = 2
# Where a request on its way says that the store is away: then nothing can be counted.
AWAY = "unisono.away"

_log = logging.getLogger(__name__)

# How the core's refusals read in HTTP.
REFUSALS = {
    "unknown_session": 404,
    "unknown_device": 404,
    "device_busy": 409,
    "device_silent": 409,
    "bad_session": 422,
    "not_a_member": 422,
}

STATE_AWAY = "the control plane cannot reach its store now: try again in a moment"


class ApiError(Exception):
    """An answer other than success: HTTP status, code for programs, sentence for people."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def body_of(code: str, message: str) -> dict[str, Any]:
    """The one shape of an error."""
    return {"error": {"code": code, "message": message}}


def state_away() -> JSONResponse:
    """The answer while Redis is away."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse(body_of("store_unavailable", STATE_AWAY), 503, headers)


def failed() -> JSONResponse:
    """The answer to a call that met a fault of ours."""
    return JSONResponse(body_of("internal", "the control plane failed: see its log"), 500)


def install(app: FastAPI) -> None:
    """Give every kind of failure its answer."""

    @app.exception_handler(ApiError)
    async def _api(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(body_of(error.code, str(error)), error.status, error.headers)

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(body_of(error.code, str(error)), REFUSALS.get(error.code, 409))

    @app.exception_handler(StateError)
    async def _state(request: Request, error: StateError) -> JSONResponse:
        _log.warning("%s", error)
        if isinstance(error, StateUnavailable):
            request.scope[AWAY][0] = True
        return state_away()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        status, code, message = _describe(error)
        return JSONResponse(body_of(code, message), status)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        method, path = request.method, request.url.path
        known = {
            400: ("malformed_json", "the body is not JSON: it cannot be decoded"),
            404: ("not_found", f"there is no {path} here"),
            405: ("method_not_allowed", f"{path} does not take {method}"),
            413: ("too_large", str(error.detail)),
        }
        code, message = known.get(error.status_code, ("error", str(error.detail)))
        return JSONResponse(body_of(code, message), error.status_code, error.headers)


def _describe(error: RequestValidationError) -> tuple[int, str, str]:
    """Status, code and sentence for a request that does not fit; names the first wrong field."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "unreadable")
        return 400, "malformed_json", f"the body is not JSON: {reason}"
    if tuple(first["loc"]) == ("body",) and first["type"] != "missing":
        hint = "send an object, with the header Content-Type: application/json"
        return 400, "malformed_json", f"the body is not a JSON object: {hint}"
    path = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    field = ".".join(path) or "the body"
    return 422, "bad_field", f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}"
