"""Refuses bodies that are not what a route reads, before anything parses them."""

from __future__ import annotations

from flask import Flask, current_app, request

from control_plane.api.uploads import UnsupportedMediaType

__all__ = ["install_media_types"]


def install_media_types(app: Flask) -> None:
    """Let routes that read JSON see only bodies that say they are JSON."""
    app.before_request(_check)


def _check() -> None:
    if request.endpoint is None:
        return
    described = getattr(current_app.view_functions[request.endpoint], "_spec", {})
    if described.get("content_type") != "application/json" or "body" not in described:
        return
    # A form or plain text is what a foreign page can send without being asked.
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(
            f"Content-Type “{request.mimetype[:60] or 'none'}” is not accepted here.",
            field="Content-Type",
            hint="Send Content-Type: application/json.",
        )
