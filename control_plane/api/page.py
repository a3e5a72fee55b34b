"""The console's first page and its assets: fixed files, no template, no inline script."""

from __future__ import annotations

from mimetypes import types_map
from pathlib import Path
from typing import Final

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from control_plane.api.access import public

__all__ = ["blueprint"]

# Read once at import: the set of files is closed, so no path ever reaches the file system.
_FOLDER: Final = Path(__file__).resolve().parent / "assets"
_ASSETS: Final = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.is_file()}
_TYPES: Final = {**types_map, ".js": "text/javascript", ".svg": "image/svg+xml"}

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
@blueprint.get("/welcome", endpoint="welcome")
@public("The page is the same for everyone; what it shows comes through the API.")
def show_page() -> Response:
    """Show the sign-in page."""
    return _asset("index.html")


@blueprint.get("/assets/<name>")
@public("Fixed files of the page.")
def show_asset(name: str) -> Response:
    """Show one file of the page."""
    if name not in _ASSETS:
        raise NotFound("There is no such file.")
    return _asset(name)


def _asset(name: str) -> Response:
    kind = _TYPES[Path(name).suffix]
    response = Response(_ASSETS[name], content_type=f"{kind}; charset=utf-8")
    # The files change with a release only, and a browser must see that at once.
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    return response
