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


_FORM = re.compile(r"(str|int|nullable|(constrained|list|dict)\b.*)$")
"""How pydantic names the forms of a field that may have several."""

_NOUNS: Mapping[str, str] = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
}
"""First word of pydantic's name of a wrong type -> what to give instead."""

_SENTENCES: Mapping[str, str] = {
    "missing": "it is required",
    "extra_forbidden": "this server knows no such field",
    "literal_error": "give {expected}",
    "greater_than": "give more than {gt:g}",
    "greater_than_equal": "give at least {ge:g}",
    "less_than": "give less than {lt:g}",
    "less_than_equal": "give at most {le:g}",
    "too_short": "it is too short: at least {min_length}",
    "too_long": "it is too long: at most {max_length}",
    "string_too_short": "it is too short: at least {min_length} characters",
    "string_too_long": "it is too long: at most {max_length} characters",
}
"""Pydantic's name of a complaint -> what a client is told."""


def from_validation(errors: list[Any]) -> ApiError:
    """Return the first of pydantic's complaints, its field named as in the request."""
    # Of the forms a field may have, the one that fits furthest is the most useful.
    field = errors[0]["loc"][:2]
    candidates = [error for error in errors if error["loc"][:2] == field]
    first = max(candidates, key=lambda error: (len(_place(error)), error["type"] in _SENTENCES))
    if first["type"] == "json_invalid":
        return ApiError(400, "The body is not valid JSON.", "invalid_json")
    place = ".".join(_place(first))
    wanted = [_NOUNS.get(error["type"].split("_")[0]) for error in errors if _place(error) == _place(first)]
    context = first.get("ctx", {})
    if first["type"] in _SENTENCES:
        message = _SENTENCES[first["type"]].format(**context)
    elif nouns := [noun for noun in dict.fromkeys(wanted) if noun]:
        message = f"give {' or '.join(nouns)}, not {_noun(first['input'])}"
    else:
        message = first["msg"].removeprefix("Value error, ")
    code = "unsupported" if first["type"] == "extra_forbidden" else context.get("code", "invalid_value")
    return ApiError(400, f"{place or 'body'}: {message}", code, place or None)


def _place(error: Mapping[str, Any]) -> list[str]:
    loc = (*error["loc"], *error.get("ctx", {}).get("place", ()))
    return [str(part) for part in loc if part not in ("body", "query", "path") and not _FORM.match(str(part))]


def _noun(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return "a text"
        case float():
            return f"{value:g}"
        case int():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def sse_error(error: Exception) -> bytes:
    """Return an error as a server-sent event."""
    return b"data: " + json.dumps(api_error(error).body.model_dump()).encode() + b"\n\n"
