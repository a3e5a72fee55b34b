"""Starters: what a function can begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Response
from werkzeug.exceptions import NotFound

from control_plane.api.access import public
from control_plane.api.archives import archive_response
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Output
from control_plane.api.v1.blueprints import download, make_blueprint

blueprint = make_blueprint("starters")

_FOLDER: Final = Path(__file__).resolve().parents[3] / "templates" / "starters"


class StarterOut(Output):
    """A starter."""

    name: str
    description: str


@blueprint.get("/starters")
@public("Starters come with Ingot and hold no tenant's data.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[StarterOut])
def list_starters(query_data: PageQuery) -> Response:
    """List the starters."""
    rows = [{"name": name, "description": _description(name)} for name in _names()]
    return slice_response(StarterOut, rows, query_data)


@blueprint.get("/starters/<name>/archive")
@public("Starters come with Ingot and hold no tenant's data.")
@blueprint.doc(responses=download("A gzipped tar.", "application/gzip"))
def get_starter(name: str) -> Response:
    """Download a starter's files."""
    if name not in _names():
        raise NotFound("There is no such starter; /api/v1/starters lists them.")
    folder = _FOLDER / name
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return archive_response(files, name)


def _names() -> list[str]:
    if not _FOLDER.is_dir():
        return []
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir() and not path.name.startswith("."))


def _description(name: str) -> str:
    """Return the first line of the starter's README that is not its title."""
    try:
        lines = (_FOLDER / name / "README.md").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")
