"""Renders every error as problem+json (RFC 9457): ours, the framework's and the unforeseen.

Only rendering lives here. Which code exists and what it means is decided where
the error is raised (`control_plane.errors` and its subclasses).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, g, json, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from control_plane.domain.byte_ranges import RangeNotSatisfiable
from control_plane.errors import IngotError

__all__ = ["HTTP_CODES", "PROBLEM_TYPE", "install_problems", "problem_response"]

log = logging.getLogger("ingot.api")

PROBLEM_TYPE: Final = "application/problem+json"

# What the HTTP layer itself refuses: status -> (code, what to do).
HTTP_CODES: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_request", "Send a well-formed HTTP request; a JSON body must be valid JSON."),
    404: ("no_such_route", "See /api/v1/openapi.json for every route."),
    405: ("method_not_allowed", "The Allow header names the methods of this address."),
    408: ("request_timeout", "Send the body without long pauses."),
    411: ("length_required", "Send a Content-Length."),
    413: ("too_large", "Send a smaller body; docs/api.md lists the limits."),
    414: ("uri_too_long", "Shorten the address."),
    415: ("unsupported_media_type", "Send Content-Type: application/json, or what the route's page names."),
    422: ("invalid", "The list of errors names each field."),
    431: ("headers_too_large", "Send fewer or shorter headers."),
    500: ("internal", "Try again; if it stays, give the request id to the operator."),
    501: ("not_implemented", "See /api/v1/openapi.json for every route."),
}

_INPUT_HINT: Final = "Correct each field that is named; /api/v1/openapi.json describes them."


def problem_response(  # noqa: PLR0913  (each is one member of the document)
    code: str,
    status: int,
    detail: str,
    *,
    hint: str | None = None,
    errors: Iterable[tuple[str, str]] = (),
    field: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return the one error shape that every route answers with."""
    listed = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    if field is not None and not listed:
        listed = [{"pointer": field if field.startswith("/") else f"/{field}", "detail": detail}]
    body: dict[str, Any] = {
        "type": f"/docs/errors#{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.path,
        "code": code,
        "request_id": g.get("request_id", ""),
        "errors": listed,
    }
    if hint:
        body["hint"] = hint
    response = Response(json.dumps(body), status=status, content_type=PROBLEM_TYPE)
    for name, value in headers:
        response.headers[name] = value
    return response


def install_problems(app: APIFlask) -> None:
    """Make `app` answer every error with a problem document."""
    app.register_error_handler(IngotError, _from_ours)
    app.register_error_handler(HTTPError, _from_framework)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(Exception, _from_bug)


def _from_ours(error: IngotError) -> Response:
    headers: list[tuple[str, str]] = []
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="ingot"'))
    if isinstance(error, RangeNotSatisfiable):
        headers.append(("Content-Range", f"bytes */{error.size}"))
    if error.retryable:
        headers.append(("Retry-After", str(max(1, int(getattr(error, "retry_after_s", 1))))))
    return problem_response(
        error.code,
        error.status,
        error.message,
        hint=error.hint,
        errors=error.errors,
        field=error.field,
        headers=headers,
    )


def _from_framework(error: HTTPError) -> Response:
    """Render what APIFlask raises: a schema that the input does not fit, or a bad body."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        found = cause.errors(include_url=False)
        # What a rule of ours says stands for itself.
        faults = [(_pointer(item["loc"]), item["msg"].removeprefix("Value error, ")) for item in found]
        first = f"{faults[0][0] or '/'}: {faults[0][1]}"
        return problem_response(
            "invalid", 422, f"The input does not fit: {first}.", hint=_INPUT_HINT, errors=faults
        )
    return _plain(error.status_code, str(error.message), [])


def _from_werkzeug(error: HTTPException) -> Response:
    headers = [
        (name, str(value))
        for name, value in error.get_headers()
        if name in {"Allow", "Retry-After", "Location"}
    ]
    if error.code is not None and 300 <= error.code < 400:
        return Response(status=error.code, headers=headers)
    return _plain(error.code or 500, error.description or error.name, headers)


def _from_bug(error: Exception) -> Response:
    """Say nothing about the inside to the caller, and everything to the log."""
    log.exception("unhandled error", extra={"request_id": g.get("request_id", "")}, exc_info=error)
    return _plain(500, "Ingot could not finish this request because of a fault of its own.", [])


def _plain(status: int, detail: str, headers: Iterable[tuple[str, str]]) -> Response:
    code, hint = HTTP_CODES.get(status, ("bad_request", "See /api/v1/openapi.json for every route."))
    return problem_response(code, status, detail, hint=hint, headers=headers)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)
