"""Serves control_plane/docs as plain text under /docs, so that links in errors resolve.

The pages are shown as they are written: no renderer stands between a guide and
its reader, and none has to be trusted with the console's origin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from control_plane.api.access import public

__all__ = ["DOCS", "blueprint"]

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"

blueprint = Blueprint("guides", __name__)


@blueprint.get("/docs")
@public("The guides hold no tenant's data.")
def list_guides() -> Response:
    """List the guides, one address a line."""
    names = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
    lines = [f"/docs/{name}" for name in names]
    return _text("Ingot's guides\n\n" + "\n".join(lines) + "\n")


@blueprint.get("/docs/<path:name>")
@public("The guides hold no tenant's data.")
def show_guide(name: str) -> Response:
    """Show one guide's text."""
    found = safe_join(str(DOCS), name.removesuffix(".md") + ".md")
    if found is None or not Path(found).is_file():
        raise NotFound("There is no such guide; /docs lists them.")
    return _text(Path(found).read_text("utf-8"))


def _text(content: str) -> Response:
    return Response(content, content_type="text/plain; charset=utf-8")
