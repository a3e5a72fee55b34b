"""Strong ETags and If-Match, so that an editor can never overwrite what they did not see."""

from __future__ import annotations

from flask import Response, request

from control_plane.errors import Invalid, PreconditionRequired

__all__ = ["required_if_match", "with_etag"]


def with_etag(response: Response, etag: str, status: int = 200) -> Response:
    """Set the strong ETag of the thing that `response` shows, and how it came to be shown."""
    response.status_code = status
    response.headers["ETag"] = f'"{etag}"'
    return response


def required_if_match() -> str:
    """Return the one strong tag of If-Match. Raises PreconditionRequired (428) without it.

    `*` and weak tags are refused: both would let an update through that its
    sender did not base on what is there.
    """
    raw = request.headers.get("If-Match", "").strip()
    if not raw:
        raise PreconditionRequired(
            "This change needs an If-Match header.",
            field="If-Match",
            hint="Read the thing first and send its ETag back as If-Match.",
        )
    if len(raw) < 3 or raw[0] != '"' or raw[-1] != '"' or '"' in raw[1:-1]:
        raise Invalid(
            "If-Match must hold exactly one strong ETag, in double quotes.",
            field="If-Match",
            hint="Send the ETag header of the last answer unchanged.",
        )
    return raw[1:-1]
