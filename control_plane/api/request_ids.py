"""X-Request-Id in and out: the gateway's where it is well-formed, else a new one."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from flask import Flask, Response, g, request

from control_plane.domain.ids import make_id

__all__ = ["accepted_request_id", "install_request_ids"]

_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,128}")


def accepted_request_id(offered: str | None) -> str:
    """Return `offered` when it is 1-128 visible ASCII characters, else a new id."""
    if offered is not None and _VISIBLE.fullmatch(offered):
        return offered
    return make_id("request", int(time.time() * 1000), secrets.randbits(80))


def install_request_ids(app: Flask) -> None:
    """Give every request of `app` an id and send it back."""

    def take() -> None:
        g.request_id = accepted_request_id(request.headers.get("X-Request-Id"))

    def give(response: Response) -> Response:
        # A request that failed before it was taken has no id yet.
        response.headers["X-Request-Id"] = g.get("request_id") or accepted_request_id(None)
        return response

    app.before_request(take)
    app.after_request(give)
