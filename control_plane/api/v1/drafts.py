"""A function's draft: its files under If-Match, its archive, its lock."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.archives import ARCHIVE_TYPES, archive_response, unpacked
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.schemas import Output, Time
from control_plane.api.state import api_options, services
from control_plane.api.uploads import streamed_body
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.functions import MAX_FILE_BYTES, Draft

blueprint = make_blueprint("drafts")


class FileOut(Output):
    """One file of a draft or version."""

    path: str
    digest: str
    size: int


class DraftOut(Output):
    """The editable state of a function."""

    function: str
    revision: int
    files: list[FileOut]
    locked: bool
    updated_by: str
    updated_at: Annotated[Time, Field(validation_alias="updated_ms")]


@blueprint.get("/functions/<function>/draft")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(DraftOut)
def get_draft(function: str) -> Response:
    """Show the draft; its ETag is what an edit must name."""
    return _shown(services().drafts.get(current_actor(), function))


@blueprint.get("/functions/<function>/draft/archive")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("A gzipped tar.", "application/gzip"))
def get_archive(function: str) -> Response:
    """Download all files."""
    actor = current_actor()
    draft = services().drafts.get(actor, function)
    return with_etag(archive_response(services().drafts.files(actor, function), "draft"), draft.etag)


@blueprint.put("/functions/<function>/draft/archive")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(DraftOut)
def put_archive(function: str) -> Response:
    """Replace all files by those of a tar, gzipped tar or zip; needs If-Match."""
    if_match = required_if_match()
    with streamed_body(api_options().archive_limit, ARCHIVE_TYPES) as archive:
        files = unpacked(archive.read())
    return _shown(services().drafts.put_all(current_actor(), function, files, if_match=if_match))


@blueprint.get("/functions/<function>/draft/files/<path:path>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("The bytes.", "application/octet-stream"))
def get_file(function: str, path: str) -> Response:
    """Download one file."""
    content = services().drafts.read(current_actor(), function, path)
    # Never a type that a browser would run: the bytes are the author's.
    response = Response(content, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = "attachment"
    return response


@blueprint.put("/functions/<function>/draft/files/<path:path>")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(DraftOut)
def put_file(function: str, path: str) -> Response:
    """Add or replace one file; needs If-Match."""
    if_match = required_if_match()
    with streamed_body(MAX_FILE_BYTES, frozenset({"application/octet-stream"})) as file:
        content = file.read()
    return _shown(services().drafts.put_file(current_actor(), function, path, content, if_match=if_match))


@blueprint.delete("/functions/<function>/draft/files/<path:path>")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(DraftOut)
def delete_file(function: str, path: str) -> Response:
    """Remove one file; needs If-Match."""
    if_match = required_if_match()
    return _shown(services().drafts.delete_file(current_actor(), function, path, if_match=if_match))


@blueprint.post("/functions/<function>/draft/lock")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.output(DraftOut)
def lock_draft(function: str) -> Response:
    """Resolve the dependencies and keep the result in the draft."""
    return _shown(services().drafts.lock(current_actor(), function))


def _shown(draft: Draft) -> Response:
    body: dict[str, Any] = {
        "function": draft.function,
        "revision": draft.revision,
        "files": list(draft.files),
        "locked": bool(draft.lock),
        "updated_by": draft.updated_by,
        "updated_ms": draft.updated_ms,
    }
    shown = DraftOut.model_validate(body).model_dump(mode="json")
    return with_etag(jsonify(shown), draft.etag)
