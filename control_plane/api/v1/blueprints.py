"""Makes the blueprint of one noun, so that all carry the same prefix and tag."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

__all__ = ["download", "make_blueprint"]


def make_blueprint(noun: str) -> APIBlueprint:
    """Return the blueprint for the routes of `noun`."""
    return APIBlueprint(noun, __name__, url_prefix="/api/v1", tag=noun.replace("_", " "))


def download(description: str, media_type: str) -> dict[int, Any]:
    """Return how the document describes a route that answers with bytes."""
    return {200: {"description": description, "content": {media_type: {}}}}
