"""Files: announced here, sent to and fetched from signed addresses.

Whoever wrote a file may be hostile to whoever opens it, so its bytes leave as
an attachment that may run nothing.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode

from flask import Response, g, request
from pydantic import Field

from control_plane.api.access import Place, public, requires
from control_plane.api.auth import current_actor
from control_plane.api.headers import DOWNLOAD_POLICY
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.transfers import Transfer, begin_transfer, end_transfer, part_response
from control_plane.api.uploads import body_chunks
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.files import File, FileLink, FileState, FileWish, stored_media_type
from control_plane.domain.list_filters import FileFilter

blueprint = make_blueprint("files")

# Beside the whole: a part of it, or that there is no such part.
_PARTS: Final[dict[int, Any]] = {
    206: {"description": "The part that Range asks for.", "content": {"application/octet-stream": {}}}
}


class FileIn(Input):
    """What is going to be sent."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")]
    name: Annotated[str, Field(max_length=200)]
    size: Annotated[int, Field(ge=0, le=1 << 50, description="Bytes.")]
    content_type: Annotated[str, Field(max_length=120)] = "application/octet-stream"
    sha256: Annotated[
        str, Field(max_length=71, description="sha256:HEX of the content; other bytes are refused.")
    ] = ""
    days: Annotated[int, Field(ge=1, le=365, description="After these the file is deleted.")] = 30


class FilesQuery(PageQuery):
    """Whose files to list, and which of them."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")]
    name: Annotated[str, Field(max_length=200, description="The beginning of the name.")] = ""
    state: Literal["waiting", "stored"] | None = None


class FileOut(Output):
    """A file."""

    id: str
    project: str
    name: str
    content_type: str
    size: int
    sha256: str
    # "waiting" until the bytes have come, then "stored"
    state: str
    created_by: str
    created_at: Time
    expires_at: Time


class LinkOut(Output):
    """A signed address below the console's origin; whoever has it may use it until it ends."""

    method: str
    url: str
    expires_at: Time


class AnnouncedOut(FileOut):
    """A file that waits for its bytes."""

    upload: LinkOut


class FileUseOut(Output):
    """What a project's files take."""

    used_bytes: int
    used_count: int
    most_bytes: int
    most_count: int
    largest_bytes: int


@blueprint.post("/files")
@requires(Permission.FILE_WRITE, Place.ANYWHERE)
@idempotent
@blueprint.input(FileIn)
@blueprint.output(AnnouncedOut, 201)
def announce_file(json_data: FileIn) -> dict[str, Any]:
    """Announce a file; the signed address in the answer takes its bytes once."""
    wish = FileWish(json_data.name, json_data.size, json_data.content_type, json_data.sha256, json_data.days)
    file, link = services().files.announce(current_actor(), project=json_data.project, wish=wish)
    return {**_row(file), "upload": _link(link)}


@blueprint.get("/files")
@requires(Permission.FILE_READ, Place.ANYWHERE)
@blueprint.input(FilesQuery, location="query")
@blueprint.output(Page[FileOut])
def list_files(query_data: FilesQuery) -> Response:
    """List a project's files that fit, oldest first."""
    page = services().files.list(
        current_actor(),
        project=query_data.project,
        wanted=FileFilter(query_data.name, FileState(query_data.state) if query_data.state else None),
        after=list_position(query_data) or "",
        limit=query_data.limit,
    )
    return page_response(FileOut, [_row(file) for file in page.items], query_data, page.next or None)


@blueprint.get("/projects/<project>/file-quota")
@requires(Permission.FILE_READ, Place.PROJECT)
@blueprint.output(FileUseOut)
def get_file_quota(project: str) -> dict[str, Any]:
    """Show what a project's files take of what they may take."""
    use = services().files.use(current_actor(), project)
    return {
        "used_bytes": use.used_bytes,
        "used_count": use.used_count,
        "most_bytes": use.quota.total_bytes,
        "most_count": use.quota.count,
        "largest_bytes": use.quota.largest_bytes,
    }


@blueprint.get("/files/<file>")
@requires(Permission.FILE_READ, Place.FILE)
@blueprint.output(FileOut)
def get_file(file: str) -> dict[str, Any]:
    """Show what is known of a file."""
    return _row(services().files.get(current_actor(), file))


@blueprint.post("/files/<file>/links")
@requires(Permission.FILE_READ, Place.FILE)
@idempotent
@blueprint.output(LinkOut, 201)
def link_file(file: str) -> dict[str, Any]:
    """Make a signed address that gives the bytes to whoever holds it, for five minutes."""
    return _link(services().files.link(current_actor(), file))


@blueprint.delete("/files/<file>")
@requires(Permission.FILE_WRITE, Place.FILE)
@blueprint.output({}, 204)
def remove_file(file: str) -> Response:
    """Delete a file at once."""
    services().files.remove(current_actor(), file)
    return Response(status=204)


@blueprint.put("/files/<file>/content")
@public("The signed address itself is the permission: one file, one time, 15 minutes.")
@blueprint.output(FileOut)
def put_content(file: str) -> dict[str, Any]:
    """Send a file's bytes to its signed address."""
    begin_transfer()
    try:
        stored = services().files.store(
            file,
            request.args,
            body_chunks(),
            request=g.request_id,
            address=request.remote_addr or "",
        )
    finally:
        end_transfer()
    return _row(stored)


@blueprint.get("/files/<file>/content")
@public("The signed address itself is the permission: one file, 5 minutes.")
@blueprint.doc(responses={**download("The bytes.", "application/octet-stream"), **_PARTS})
def get_content(file: str) -> Response:
    """Fetch a file's bytes, or with Range one part of them, from its signed address."""
    begin_transfer()
    try:
        known, content = services().files.open(file, request.args)
    except BaseException:
        end_transfer()
        raise
    transfer = Transfer(content)
    try:
        response = part_response(transfer, known.digest.removeprefix("sha256:"), known.size)
    except BaseException:
        transfer.close()
        raise
    response.content_type = stored_media_type(known.media_type)
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(known.name, safe='')}"
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    digest = base64.b64encode(bytes.fromhex(known.digest.removeprefix("sha256:"))).decode()
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    return response


def _link(link: FileLink) -> dict[str, Any]:
    return {
        "method": link.method,
        "url": f"{link.path}?{urlencode(link.query)}",
        "expires_at": link.expires_ms,
    }


def _row(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "project": file.project,
        "name": file.name,
        "content_type": file.media_type,
        "size": file.size,
        "sha256": file.digest,
        "state": file.state,
        "created_by": file.created_by,
        "created_at": file.created_ms,
        "expires_at": file.expires_ms,
    }
