"""`Idempotency-Key` on routes that create: a repeat gets the first answer and creates nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any, Final, TypeVar

from flask import Flask, Response, current_app, request

from control_plane.api.auth import current_actor
from control_plane.api.state import services
from control_plane.errors import Invalid, Unavailable
from control_plane.services.idempotency import Answer

__all__ = ["idempotent", "idempotent_long", "takes_key"]

_View = TypeVar("_View", bound=Callable[..., Any])
_MARK: Final = "ingot_takes_key"
# Headers that belong to the answer's content; all others are made anew for each request.
_KEPT: Final = ("ETag", "Location")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def idempotent(view: _View) -> _View:
    """Let callers repeat the view's request with the same Idempotency-Key.

    It goes around `output`, so that the stored answer is the whole answer. What
    the view changes and the answer are one transaction, so the view must be
    quick and reach nothing but the database. A failed attempt leaves no trace:
    its cause may be mended and the key used again.
    """
    return _once(view, _run_together)


def idempotent_long(view: _View) -> _View:
    """Do the same for a view that works outside its transactions, such as a build.

    Its answer is stored after its last change. A process that dies in between
    leaves the key in use for a while, so the view itself must end in the same
    thing when it is done again.
    """
    return _once(view, _run_long)


def _once(view: _View, run: Callable[[str, Callable[[], Response]], Response]) -> _View:
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
        return run(key, lambda: current_app.make_response(view(*args, **kwargs)))

    setattr(once, _MARK, True)
    return once  # type: ignore[return-value]


def takes_key(app: Flask, endpoint: str) -> bool:
    """Say whether a route takes an Idempotency-Key."""
    return getattr(app.view_functions[endpoint], _MARK, False)


def _run_together(key: str, work: Callable[[], Response]) -> Response:
    first: list[Response] = []

    def answer() -> Answer:
        first.append(work())
        return _answer_of(first[0])

    stored, replayed = services().idempotency.once(current_actor(), key, _fingerprint(), answer)
    return _replayed(stored) if replayed else first[0]


def _run_long(key: str, work: Callable[[], Response]) -> Response:
    actor, known = current_actor(), services().idempotency
    try:
        before = known.begin(actor, key, _fingerprint())
    except Unavailable:
        # Whether the attempt was written down is not known, and nothing was done yet.
        known.abandon(actor, key)
        raise
    if before is not None:
        return _replayed(before)
    try:
        response = work()
        known.end(actor, key, _answer_of(response))
    except BaseException:
        known.abandon(actor, key)
        raise
    return response


def _answer_of(response: Response) -> Answer:
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    return Answer(response.status_code, response.content_type or "", response.get_data(as_text=True), kept)


def _replayed(answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, content_type=answer.content_type)
    response.headers.update(answer.headers)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _fingerprint() -> str:
    """Return the hash of what is asked: method, address, precondition and body."""
    digest = sha256()
    for part in (request.method, request.full_path, request.headers.get("If-Match", "")):
        digest.update(part.encode() + b"\0")
    digest.update(request.get_data(cache=True))
    return digest.hexdigest()
