"""Immutable versions: freeze, list, show, compare, download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.archives import archive_response
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match
from control_plane.api.idempotency import idempotent_long
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Number, OptionalTime, Output, Time
from control_plane.api.state import services
from control_plane.api.tracing import work_span
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.api.v1.drafts import SourceFileOut
from control_plane.domain.access import Permission
from control_plane.domain.versions import Diff, Version, VersionState, VersionSummary

blueprint = make_blueprint("versions")


class VersionOut(Output):
    """A version."""

    id: str
    function: str
    number: int
    digest: str
    state: str
    revision: int
    authors: list[tuple[str, str]]
    created_by: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]
    published_at: Annotated[OptionalTime, Field(validation_alias="published_ms")]
    # Why it was deprecated or retired.
    reason: str
    unreviewed: Annotated[bool, Field(description="No review has let exactly this digest through.")]


class VersionQuery(PageQuery):
    """Which versions to list."""

    state: VersionState | None = None


class VersionReasonIn(Input):
    """Why nobody should use the version any more."""

    reason: Annotated[str, Field(max_length=500)] = ""


class PackageQuery(PageQuery):
    """Which version of the package to look for."""

    version: Annotated[str, Field(max_length=100, description="Default: every version of it.")] = ""


class PackageUseOut(Output):
    """A version of a function that contains the package."""

    function: str
    function_name: str
    project: str
    number: int
    digest: str
    state: str
    published_at: Annotated[OptionalTime, Field(validation_alias="published_ms")]
    package: str
    package_version: str


class VersionDetailOut(VersionOut):
    """A version with what it is made of."""

    manifest: dict[str, Any]
    files: list[SourceFileOut]
    layers: dict[str, str]
    image: str


class FileChangeOut(Output):
    """One file that differs; `lines` is a unified diff."""

    path: str
    kind: str
    lines: list[str]
    binary: bool


class ChangeOut(Output):
    """One named value that differs."""

    name: str
    before: Any
    after: Any


class DiffOut(Output):
    """Everything that two versions differ in."""

    files: list[FileChangeOut]
    dependencies: list[ChangeOut]
    declaration: list[ChangeOut]


class DiffQuery(Input):
    """What to compare with."""

    base: Annotated[
        Number | None, Field(description="A version's number; default: the last published one before.")
    ] = None


@blueprint.post("/functions/<function>/versions")
@requires(Permission.VERSION_FREEZE, Place.FUNCTION)
@idempotent_long
@blueprint.output(VersionOut, 201)
def freeze_draft(function: str) -> dict[str, Any]:
    """Freeze the draft that If-Match names; the same draft gives the same version again."""
    seen = required_if_match()
    with work_span("freeze") as named:
        frozen = services().versions.freeze(current_actor(), function, if_match=seen)
        named |= {"faas.name": frozen.function, "ingot.version": frozen.id, "ingot.digest": frozen.digest}
    return _shown(frozen)


@blueprint.get("/functions/<function>/versions")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(VersionQuery, location="query")
@blueprint.output(Page[VersionOut])
def list_versions(function: str, query_data: VersionQuery) -> Response:
    """List a function's versions, newest first."""
    page = services().versions.list(
        current_actor(),
        function,
        state=query_data.state,
        after=int(list_position(query_data) or 0),
        limit=query_data.limit,
    )
    return page_response(VersionOut, _marked(page.items), query_data, page.next or None)


@blueprint.get("/packages/<name>/versions")
@requires(Permission.FUNCTION_READ, Place.ANYWHERE)
@blueprint.input(PackageQuery, location="query")
@blueprint.output(Page[PackageUseOut])
def list_package_uses(name: str, query_data: PackageQuery) -> Response:
    """List the versions that contain a package, in every project that one can see, newest first."""
    page = services().packages.versions(
        current_actor(),
        name,
        version=query_data.version,
        after=str(list_position(query_data) or ""),
        limit=query_data.limit,
    )
    return page_response(PackageUseOut, page.items, query_data, page.next or None)


@blueprint.get("/functions/<function>/versions/<int:number>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(VersionDetailOut)
def get_version(function: str, number: int) -> dict[str, Any]:
    """Show one version."""
    return _shown(_version(function, number), VersionDetailOut)


@blueprint.get("/functions/<function>/versions/<int:number>/diff")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.input(DiffQuery, location="query")
@blueprint.output(DiffOut)
def diff_version(function: str, number: int, query_data: DiffQuery) -> Diff:
    """Show what a version changes: code, dependencies and declaration."""
    return services().versions.diff(current_actor(), function, number, against=query_data.base or "")


@blueprint.get("/functions/<function>/versions/<int:number>/source")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("A gzipped tar.", "application/gzip"))
def get_source(function: str, number: int) -> Response:
    """Download a version's files."""
    files = services().versions.files(current_actor(), function, number)
    return archive_response(files, f"version-{number}")


@blueprint.get("/functions/<function>/versions/<int:number>/lock")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("The lock.", "application/json"))
def get_lock(function: str, number: int) -> Response:
    """Download a version's lock."""
    return _text(_version(function, number).lock)


@blueprint.get("/functions/<function>/versions/<int:number>/sbom")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("CycloneDX.", "application/json"))
def get_sbom(function: str, number: int) -> Response:
    """Download a version's bill of materials."""
    return _text(services().versions.sbom(current_actor(), function, number))


@blueprint.get("/functions/<function>/versions/<int:number>/manifest")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.doc(responses=download("The manifest.", "application/json"))
def get_manifest(function: str, number: int) -> Response:
    """Download the manifest that the digest is of."""
    return _text(_version(function, number).manifest_text)


@blueprint.post("/functions/<function>/versions/<int:number>/deprecate")
@requires(Permission.VERSION_RETIRE, Place.FUNCTION)
@blueprint.input(VersionReasonIn)
@blueprint.output(VersionOut)
def deprecate_version(function: str, number: int, json_data: VersionReasonIn) -> dict[str, Any]:
    """Mark a version as not to be used for anything new, and say why."""
    known = services().versions
    return _shown(known.deprecate(current_actor(), function, number, reason=json_data.reason))


@blueprint.post("/functions/<function>/versions/<int:number>/retire")
@requires(Permission.VERSION_RETIRE, Place.FUNCTION)
@blueprint.input(VersionReasonIn)
@blueprint.output(VersionOut)
def retire_version(function: str, number: int, json_data: VersionReasonIn) -> dict[str, Any]:
    """Forbid any further release of a version, and say why."""
    return _shown(services().versions.retire(current_actor(), function, number, reason=json_data.reason))


def _version(function: str, number: int) -> Version:
    return services().versions.get(current_actor(), function, number)


def _shown(version: Version, model: type[VersionOut] = VersionOut) -> dict[str, Any]:
    return _marked((version,), model)[0]


def _marked(
    versions: Sequence[Version | VersionSummary], model: type[VersionOut] = VersionOut
) -> list[dict[str, Any]]:
    """Return versions as their model reads them, with whether a review let each of them through."""
    reviewed = services().review_lists.reviewed(current_actor(), [version.id for version in versions])
    names = [str(field.validation_alias or name) for name, field in model.model_fields.items()]
    return [
        {name: getattr(version, name) for name in names if name != "unreviewed"}
        | {"unreviewed": version.id not in reviewed}
        for version in versions
    ]


def _text(content: str | bytes) -> Response:
    response = Response(content, content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="{request.path.rpartition("/")[2]}.json"'
    return response
