"""Imports: functions that another Ingot exported, and where their versions came from."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.transfers import begin_transfer, end_transfer
from control_plane.api.uploads import streamed_body, uploads
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.exports import MEDIA_TYPE
from control_plane.domain.access import Permission

blueprint = make_blueprint("imports")

_LARGEST: Final = 2_000_000_000
_TYPES: Final = frozenset({MEDIA_TYPE})


class ImportQuery(Input):
    """What to call the function here."""

    name: Annotated[str, Field(max_length=40, description="Default: the name that it has there.")] = ""


class ImportedVersionOut(Output):
    """One version of the file, and what it is here."""

    number: int
    digest: str
    source_number: int
    new: Annotated[bool, Field(description="False when it was here already.")]
    approvals: Annotated[int, Field(description="Approvals given there that count here.")]


class ImportedOut(Output):
    """What a file became."""

    function: str
    name: str
    project: str
    versions: list[ImportedVersionOut]


class GivenApprovalOut(Output):
    """One person's yes, as the other Ingot recorded it."""

    email: str
    at: Annotated[Time, Field(validation_alias="at_ms")]


class OriginOut(Output):
    """Where a version came from, and who vouched for it there."""

    digest: str
    source_organization: str
    source_organization_name: str
    source_function: str
    source_name: str
    source_number: int
    signer: Annotated[str, Field(description="The public key that signed the evidence, base64.")]
    trusted_as: Annotated[
        str, Field(description="Its name in the trust list; empty: the approvals do not count.")
    ]
    approvals: list[GivenApprovalOut]
    evidence: Annotated[dict[str, Any], Field(description="The signed envelope itself.")]
    imported_by: str
    imported_at: Annotated[Time, Field(validation_alias="imported_ms")]


@blueprint.post("/projects/<project>/imports")
@requires(Permission.FUNCTION_IMPORT, Place.PROJECT)
@uploads(_TYPES)
@blueprint.input(ImportQuery, location="query")
@blueprint.output(ImportedOut)
def import_function(project: str, query_data: ImportQuery) -> dict[str, Any]:
    """Bring in what `ingot export` wrote: all of it or nothing; the same file again changes nothing."""
    begin_transfer()
    try:
        with streamed_body(_LARGEST, _TYPES) as stream:
            made = services().imports.receive(current_actor(), stream, project=project, name=query_data.name)
    finally:
        end_transfer()
    function = made.function
    return {
        "function": function.id,
        "name": function.name,
        "project": function.project,
        "versions": list(made.versions),
    }


@blueprint.get("/functions/<function>/versions/<int:number>/origin")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(OriginOut)
def get_origin(function: str, number: int) -> Any:
    """Show where an imported version came from and who approved it there."""
    return services().imports.origin(current_actor(), function, number)
