"""Makes the blueprint of one noun, so that all carry the same prefix and tag."""

from __future__ import annotations

from apiflask import APIBlueprint

__all__ = ["make_blueprint"]


def make_blueprint(noun: str) -> APIBlueprint:
    """Return the blueprint for the routes of `noun`."""
    return APIBlueprint(noun, __name__, url_prefix="/api/v1", tag=noun.replace("_", " "))
