"""Exports: a function as one file, or a release as a resource for a cluster, signed by the worker."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.idempotency import idempotent
from control_plane.api.schemas import Input, Number, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission

blueprint = make_blueprint("exports")

MEDIA_TYPE = "application/x-tar"


class ExportIn(Input):
    """What to take along."""

    versions: Annotated[
        tuple[Number, ...], Field(max_length=200, description="Numbers; default: all that may be released.")
    ] = ()


class ReleaseExportIn(Input):
    """Where the release is to run."""

    namespace: Annotated[str, Field(max_length=63, description="Default: that of the project's id.")] = ""
    name: Annotated[str, Field(max_length=40, description="Default: the function's own.")] = ""


class ExportOut(Output):
    """An export; read it again until it is no longer `waiting`."""

    id: str
    function: str
    kind: str
    numbers: Annotated[list[int], Field(description="Of versions, or of the release.")]
    state: Annotated[str, Field(description="waiting, ready or refused")]
    reason: str
    message: Annotated[str, Field(description="Why it is refused.")]
    namespace: str
    name: str
    resource: Annotated[dict[str, Any], Field(description="The attested Function of a release.")]
    evidence: Annotated[dict[str, Any], Field(description="Who approved what, as a signed envelope.")]
    signer: Annotated[str, Field(description="The public key that signed both, base64.")]
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    done_at: Annotated[OptionalTime, Field(validation_alias="done_ms")]


@blueprint.post("/functions/<function>/exports")
@requires(Permission.FUNCTION_EXPORT, Place.FUNCTION)
@idempotent
@blueprint.input(ExportIn)
@blueprint.output(ExportOut, 202)
def export_function(function: str, json_data: ExportIn) -> Any:
    """Ask for a function with versions as one file, signed."""
    return services().exports.function(current_actor(), function, json_data.versions)


@blueprint.post("/functions/<function>/releases/<int:number>/exports")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@idempotent
@blueprint.input(ReleaseExportIn)
@blueprint.output(ExportOut, 202)
def export_release(function: str, number: int, json_data: ReleaseExportIn) -> Any:
    """Ask for a release as a Function resource that a cluster admits, for a git repository to keep."""
    return services().exports.release(
        current_actor(), function, number, namespace=json_data.namespace, name=json_data.name
    )


@blueprint.get("/functions/<function>/exports/<export>")
@requires(Permission.FUNCTION_EXPORT, Place.FUNCTION)
@blueprint.output(ExportOut)
def get_export(function: str, export: str) -> Any:
    """Show an export; it is kept for a day."""
    return services().exports.get(current_actor(), function, export)


@blueprint.get("/functions/<function>/exports/<export>/file")
@requires(Permission.FUNCTION_EXPORT, Place.FUNCTION)
@blueprint.doc(responses=download("A tar; the same export gives the same bytes.", MEDIA_TYPE))
def get_export_file(function: str, export: str) -> Response:
    """Download the file of a function's export."""
    name, pieces = services().exports.archive(current_actor(), function, export)
    response = Response(pieces, content_type=MEDIA_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.ingot"'
    return response
