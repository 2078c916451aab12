"""Bodies of devices as typed values; what does not fit is said in one sentence."""

import re
from typing import TypeVar

import msgspec

from services.control_plane.errors import ApiError

T = TypeVar("T")

# How msgspec ends what it says: " - at `$.lan.path`", " - at `key` in `$.lan`".
_PLACE = re.compile(r" - at (?:`\w+` in )?`\$\.?([^`]*)`$")


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as that type. `ApiError` says what does not fit, its field first."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "malformed_json", f"the body is not JSON: {error}") from None


def _unfit(said: str) -> ApiError:
    place = _PLACE.search(said)
    field = place[1] if place else ""
    what = said[: place.start()] if place else said
    if not field and what.startswith("Expected `object`"):
        return ApiError(400, "malformed_json", "the body is not a JSON object")
    what = what[:1].lower() + what[1:]
    return ApiError(422, "bad_field", f"{field or 'the body'}: {what}")
