"""The schema of the device calls, added to that of the operators' (which FastAPI makes).

Who may call what is added from the table of roles, and what comes with a refusal: when to come
back, and how to show who one is.
"""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.control_plane.devices.bodies import EXAMPLES, MAX_NUMBER
from services.control_plane.devices.table import TABLE, DeviceCall
from services.control_plane.gate import roles
from services.control_plane.gate.access import CSRF_HEADER
from services.control_plane.gate.logins import COOKIE, SECURE_COOKIE

_REF = "#/components/schemas/{name}"
_ERROR = {"$ref": "#/components/schemas/ErrorBody"}
_SCHEMES: dict[str, dict[str, str]] = {
    "device": {
        "type": "http",
        "scheme": "bearer",
        "description": "DEVICE_ID.SECRET, as given at enrolment",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operators' or the administrators' token of the settings",
    },
    "login": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"What logging in gives; over https it is called {SECURE_COOKIE}",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "`csrf` of the login, with whatever changes something by cookie",
    },
    "metrics": {
        "type": "http",
        "scheme": "bearer",
        "description": "UNISONO_CONTROL_METRICS_TOKEN, where one is set",
    },
}
_RETRY = {
    "Retry-After": {
        "description": "Seconds after which to come back",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "Bearer", "required": False, "schema": {"type": "string"}}
}
_HEADERS = {"401": _CHALLENGE, "429": _RETRY, "503": _RETRY}


def install(app: FastAPI) -> None:
    """Let ``app`` serve one schema of all its calls."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    kinds = [kind for row in TABLE for kind in (row.asked, row.reply) if kind is not None]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    for kind in kinds:
        if kind in EXAMPLES:
            schemas[kind.__name__]["examples"] = [EXAMPLES[kind]]
    components = made.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components.setdefault("securitySchemes", {}).update(_SCHEMES)
    for row in TABLE:
        made["paths"].setdefault(row.path, {})[row.method.lower()] = _operation(row)
    for rule in roles.TABLE:
        operation = made["paths"][rule.path][rule.method.lower()]
        operation["security"] = _security(rule)
        for status, headers in _HEADERS.items():
            if status in operation["responses"]:
                operation["responses"][status]["headers"] = headers
    return made


def _security(rule: roles.Rule) -> list[dict[str, list[str]]]:
    """What a call has to show, one of these; by the table of roles."""
    if rule.route == "metrics":
        return [{}, {"metrics": []}, {"token": []}]
    if roles.Role.NOBODY in rule.who:
        return []
    if roles.Role.DEVICE in rule.who:
        return [{"device": []}]
    by_cookie: dict[str, list[str]] = {"login": []}
    if rule.method != "GET":
        by_cookie["csrf"] = []
    return [{"token": []}, by_cookie]


def _operation(row: DeviceCall) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(row.status): {"description": "Done", "content": _json(_ref(row.reply))}
    }
    for status in row.errors:
        answers[str(status)] = {"description": "Refused", "content": _json(_ERROR)}
    operation: dict[str, Any] = {
        "tags": ["devices"],
        "operationId": f"device-{row.name}",
        "summary": row.summary,
        "responses": answers,
    }
    if row.asked is not None:
        operation["requestBody"] = {"required": True, "content": _json(_ref(row.asked))}
    parameters = [_after() for name in row.query if name == "after"]
    if "{command_id}" in row.path:
        parameters.append(
            {"name": "command_id", "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if parameters:
        operation["parameters"] = parameters
    return operation


def _after() -> dict[str, Any]:
    return {
        "name": "after",
        "in": "query",
        "required": False,
        "description": "Highest seq had",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER, "default": 0},
    }


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _json(schema: dict[str, str]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
