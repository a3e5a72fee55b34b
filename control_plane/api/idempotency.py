"""`Idempotency-Key` on routes that create: a repeat gets the first answer and creates nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any, Final, TypeVar

from flask import Response, current_app, request

from control_plane.api.auth import current_actor
from control_plane.api.state import services
from control_plane.errors import Invalid
from control_plane.services.idempotency import Answer

__all__ = ["idempotent"]

_View = TypeVar("_View", bound=Callable[..., Any])
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def idempotent(view: _View) -> _View:
    """Let callers repeat the view's request with the same Idempotency-Key.

    It goes around `output`, so that the stored answer is the whole answer. A
    failed attempt is forgotten: its cause may be mended and the key used again.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **kwargs)
        if not _KEY.fullmatch(key):
            raise Invalid(
                "An Idempotency-Key has 1 to 255 visible ASCII characters.",
                field="Idempotency-Key",
                hint="Use a random UUID.",
            )
        return _run_once(key, lambda: current_app.make_response(view(*args, **kwargs)))

    return once  # type: ignore[return-value]


def _run_once(key: str, work: Callable[[], Response]) -> Response:
    actor, known = current_actor(), services().idempotency
    before = known.begin(actor, key, _fingerprint())
    if before is not None:
        response = Response(before.body, status=before.status, content_type=before.content_type)
        response.headers["Idempotency-Replayed"] = "true"
        return response
    try:
        response = work()
    except BaseException:
        known.abandon(actor, key)
        raise
    answer = Answer(response.status_code, response.content_type or "", response.get_data(as_text=True))
    known.end(actor, key, answer)
    return response


def _fingerprint() -> str:
    """Return the hash of what is asked: method, address, precondition and body."""
    digest = sha256()
    for part in (request.method, request.full_path, request.headers.get("If-Match", "")):
        digest.update(part.encode() + b"\0")
    digest.update(request.get_data(cache=True))
    return digest.hexdigest()
