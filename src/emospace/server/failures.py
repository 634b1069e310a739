"""Errors in OpenAI's shape: every error a client sees is made here, and none shows the code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from emospace.errors import EmospaceError
from emospace.server.engine import Busy, Stopped, WaitedTooLong

INVALID, SERVER = "invalid_request_error", "server_error"

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Detail(BaseModel):
    """What went wrong: a sentence, its kind, the field at fault and a code for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: Detail


class ApiError(Exception):
    """An error with its status."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        kind = TYPES.get(status, SERVER if status >= 500 else INVALID)
        self.body = ErrorBody(error=Detail(message=message, type=kind, param=param, code=code))

    def response(self) -> Response:
        """Return the response."""
        return Response(self.body.model_dump_json(), self.status, self.headers, media_type="application/json")


def api_error(error: Exception) -> ApiError:
    """Return an error as a client sees it; of one that was not foreseen, nothing but that it happened."""
    match error:
        case ApiError():
            return error
        case WaitedTooLong():
            return ApiError(
                429, "The request waited too long.", "queue_timeout", headers=_retry(error.retry_after)
            )
        case Busy():
            return ApiError(
                429,
                f"Too many requests wait. Try again in {error.retry_after} s.",
                "queue_full",
                headers=_retry(error.retry_after),
            )
        case Stopped():
            return ApiError(503, "The server is shutting down.", "shutting_down", headers=_retry(5))
        case EmospaceError():
            return from_emospace(error)
        case _:
            return ApiError(
                500, "Something went wrong in the server; its log has the request.", "internal_error"
            )


def from_emospace(error: EmospaceError, param: str | None = None) -> ApiError:
    """Return an error of something the client gave."""
    kind = re.match(r"there is no such (\w+)", error.why)
    return ApiError(400, str(error), f"unknown_{kind[1]}" if kind else "invalid_value", param)


_FORM = re.compile(r"(str|int|list\[.*\])$")
"""How pydantic names the forms of a field that may have several."""


def from_validation(errors: list[Any]) -> ApiError:
    """Return the first of pydantic's complaints, its field named as in the request."""
    # Of the forms a field may have, the one that fits furthest is the most useful.
    field = errors[0]["loc"][:2]
    first = max((error for error in errors if error["loc"][:2] == field), key=lambda error: len(error["loc"]))
    loc = (*first["loc"], *first.get("ctx", {}).get("place", ()))
    place = [
        str(part) for part in loc if part not in ("body", "query", "path") and not _FORM.match(str(part))
    ]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return ApiError(400, "The body is not valid JSON.", "invalid_json")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"There is no field '{'.'.join(place)}'.", "unsupported", ".".join(place))
    return ApiError(400, f"{'.'.join(place) or 'body'}: {message}", "invalid_value", ".".join(place) or None)


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def sse_error(error: Exception) -> bytes:
    """Return an error as a server-sent event."""
    return b"data: " + json.dumps(api_error(error).body.model_dump()).encode() + b"\n\n"
