"""Serves control_plane/docs under /docs: as pages to browsers, as Markdown to everybody else.

Error documents link here. The rendering is `guide_markdown`'s, the page around
it `guide_page`'s; here is only which guide is meant and which form is wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from control_plane.api.access import public
from control_plane.api.api_reference import api_reference
from control_plane.api.guide_page import page
from control_plane.api.openapi import document

__all__ = ["API_REFERENCE", "DOCS", "blueprint"]

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
# Made from the routes as they are, so no file holds it.
API_REFERENCE: Final = "api-reference"

blueprint = Blueprint("guides", __name__)


@blueprint.get("/docs")
@public("The guides hold no tenant's data.")
def list_guides() -> Response:
    """Show the index of the guides."""
    return _shown("index", _read("index"))


@blueprint.get("/docs/<path:name>")
@public("The guides hold no tenant's data.")
def show_guide(name: str) -> Response:
    """Show one guide."""
    plain = name.removesuffix(".md")
    text = api_reference(document()) if plain == API_REFERENCE else _read(plain)
    return _shown(plain, text, as_text=plain != name)


def _read(name: str) -> str:
    if name == "adr":
        return _decisions()
    found = safe_join(str(DOCS), name + ".md")
    if found is None or not Path(found).is_file():
        raise NotFound("There is no such guide; /docs lists them.")
    return Path(found).read_text("utf-8")


def _decisions() -> str:
    """Return the list of decisions, which no file holds: their number grows."""
    lines = ["# Decisions", "", "Why things are as they are, one page each.", ""]
    for path in sorted((DOCS / "adr").glob("*.md")):
        title = path.read_text("utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}](adr/{path.name})")
    return "\n".join(lines) + "\n"


def _shown(name: str, text: str, *, as_text: bool = False) -> Response:
    # Programs that take anything get what was written; only who asks for a page gets one.
    forms = ["text/plain", "text/markdown", "text/html"]
    wants_page = request.accept_mimetypes.best_match(forms) == "text/html"
    if as_text or not wants_page:
        response = Response(text, content_type="text/plain; charset=utf-8")
    else:
        response = Response(page(name, text, _read("index")), content_type="text/html; charset=utf-8")
    response.headers["Vary"] = "Accept"
    response.headers["Cache-Control"] = "no-cache"
    return response
