"""A function's draft: its files under If-Match, its archive, its lock."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from flask import Response, jsonify, request
from pydantic import ConfigDict, Field

from control_plane.api.access import Place, requires
from control_plane.api.archives import ARCHIVE_TYPES, archive_response, unpacked
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import api_options, services
from control_plane.api.uploads import streamed_body, uploads
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.functions import MAX_FILE_BYTES, Draft
from control_plane.errors import Invalid
from control_plane.services.drafts import FileEdit

blueprint = make_blueprint("drafts")

_ONE_FILE: Final = frozenset({"application/octet-stream"})


class SourceFileOut(Output):
    """One file of a draft or version."""

    path: str
    digest: str
    size: int


class ChangeIn(Input):
    """One step of an edit."""

    model_config = ConfigDict(extra="forbid", str_max_length=14_000_000)

    op: Annotated[str, Field(pattern="^(put|delete|rename)$")]
    path: Annotated[str, Field(max_length=300)]
    content: Annotated[str, Field(description="Base64, for put.")] = ""
    to: Annotated[str, Field(max_length=300, description="The new path, for rename.")] = ""


class EditIn(Input):
    """Steps in order."""

    model_config = ConfigDict(extra="forbid", str_max_length=14_000_000)

    changes: Annotated[list[ChangeIn], Field(min_length=1, max_length=500)]


def _raise_body_limit() -> None:
    # Files travel as base64 in JSON here, so the limit is the one of an archive.
    if request.endpoint == "drafts.edit_files":
        request.max_content_length = api_options().archive_limit


blueprint.before_request(_raise_body_limit)


class DraftOut(Output):
    """The editable state of a function."""

    function: str
    revision: int
    files: list[SourceFileOut]
    locked: bool
    updated_by: str
    updated_at: Annotated[Time, Field(validation_alias="updated_ms")]


@blueprint.get("/functions/<function>/draft")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(DraftOut)
def get_draft(function: str) -> Response:
    """Show the draft; its ETag is what an edit must name."""
    return _shown(services().drafts.get(current_actor(), function))


@blueprint.get("/functions/<function>/draft/files")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[SourceFileOut])
def list_files(function: str, query_data: PageQuery) -> Response:
    """List the files with size and digest; the ETag is the draft's."""
    draft = services().drafts.get(current_actor(), function)
    return with_etag(slice_response(SourceFileOut, draft.files, query_data), draft.etag)


@blueprint.patch("/functions/<function>/draft/files")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.input(EditIn)
@blueprint.output(DraftOut)
def edit_files(function: str, json_data: EditIn) -> Response:
    """Put, delete and rename files, all in one revision or none; needs If-Match."""
    edits = [
        FileEdit(change.op, change.path, _decoded(change.content), change.to) for change in json_data.changes
    ]
    return _shown(services().drafts.edit(current_actor(), function, edits, if_match=required_if_match()))


@blueprint.get("/functions/<function>/draft/archive")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("A gzipped tar.", "application/gzip"))
def get_archive(function: str) -> Response:
    """Download all files."""
    actor = current_actor()
    draft = services().drafts.get(actor, function)
    return with_etag(archive_response(services().drafts.contents(draft), "draft"), draft.etag)


@blueprint.put("/functions/<function>/draft/archive")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@uploads(ARCHIVE_TYPES)
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
    """Download one file; the ETag is the draft's."""
    draft = services().drafts.get(current_actor(), function)
    content = services().drafts.content(draft, path)
    # Never a type that a browser would run: the bytes are the author's.
    response = Response(content, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = "attachment"
    return with_etag(response, draft.etag)


@blueprint.put("/functions/<function>/draft/files/<path:path>")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@uploads(_ONE_FILE)
@blueprint.output(DraftOut)
def put_file(function: str, path: str) -> Response:
    """Add or replace one file; needs If-Match."""
    if_match = required_if_match()
    with streamed_body(MAX_FILE_BYTES, _ONE_FILE) as file:
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


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise Invalid(f"The content is not base64: {error}.", field="/changes") from error


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
