"""The schema of the device calls, added to that of the operators' (which FastAPI makes)."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.control_plane.devices.bodies import EXAMPLES, MAX_NUMBER
from services.control_plane.devices.table import TABLE, DeviceCall

_REF = "#/components/schemas/{name}"
_ERROR = {"$ref": "#/components/schemas/ErrorBody"}


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
    components.setdefault("securitySchemes", {})["device"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "DEVICE_ID.SECRET, as given at enrolment",
    }
    for row in TABLE:
        made["paths"].setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return made


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
        "security": [] if row.name == "enroll" else [{"device": []}],
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
