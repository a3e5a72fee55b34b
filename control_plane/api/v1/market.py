"""The market: what others share, and installing it. Only what a share offers is shown of its owner."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.archives import archive_response
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import download, make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.sharing import ShareKind
from control_plane.services.market import Installed, Offer, Offered, Search

blueprint = make_blueprint("market")

_DIGEST = Field(max_length=80, description="The digest that was seen; another one is refused.")


class MarketQuery(PageQuery):
    """What to look for."""

    q: Annotated[
        str, Field(max_length=200, description="Beginnings of words, all of which must be there.")
    ] = ""
    tags: Annotated[str, Field(max_length=400, description="Comma-separated; all must be there.")] = ""
    kind: ShareKind | None = None


class InstallIn(Input):
    """Where to install it, and as what."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")]
    name: Annotated[str, Field(max_length=40, description="Default: the shared function's own.")] = ""
    digest: Annotated[str, _DIGEST] = ""


class UpdateIn(Input):
    """What to bring the draft to."""

    digest: Annotated[str, _DIGEST] = ""


class OfferOut(Output):
    """Something that can be installed."""

    id: str
    kind: str
    name: str
    summary: str
    tags: list[str]
    # The organization that offers it, by name.
    organization: str
    organization_title: str
    number: int
    digest: str
    # The version had its owner's approvals when it was shared. Nobody here has approved it by that.
    reviewed: bool
    audience: str
    shared_at: Time
    updated_at: Time


class OfferedFileOut(Output):
    """One file of the source."""

    path: str
    size: int


class OfferDetailOut(OfferOut):
    """All that is shown before it is installed."""

    readme: str
    runtime: str
    input_schema: Any
    output_schema: Any
    # Names that must have values in the project.
    settings: list[str]
    secrets: list[str]
    dependencies: dict[str, str]
    files: list[OfferedFileOut]
    # Why it cannot be installed any more; null when it can.
    withdrawn: str | None


class NewerOut(Output):
    """What the share offers now."""

    number: int
    digest: str
    updated_at: Time


class InstallationOut(Output):
    """Where a function came from."""

    function: str
    share: str
    organization: str
    name: str
    number: int
    digest: str
    installed_by: str
    installed_at: Time
    # The share can still be seen.
    shared: bool
    newer: NewerOut | None


class InstalledOut(Output):
    """A function that was just installed."""

    id: str
    project: str
    name: str
    share: str


class UpdatedOut(Output):
    """A draft that was brought to what its share offers."""

    function: str
    revision: int


@blueprint.get("/market")
@requires(Permission.SHARE_READ, Place.ANYWHERE)
@blueprint.input(MarketQuery, location="query")
@blueprint.output(Page[OfferOut])
def search_market(query_data: MarketQuery) -> Response:
    """List what is shared with one, oldest first."""
    tags = tuple(tag.strip() for tag in query_data.tags.split(",") if tag.strip())
    page = services().market.search(
        current_actor(),
        Search(query_data.q, tags, query_data.kind),
        after=list_position(query_data) or "",
        limit=query_data.limit,
    )
    return page_response(OfferOut, [_row(one) for one in page.items], query_data, page.next or None)


@blueprint.get("/market/<share>")
@requires(Permission.SHARE_READ, Place.ANYWHERE)
@blueprint.output(OfferDetailOut)
def get_offer(share: str) -> dict[str, Any]:
    """Show all of an offer: contract, readme, dependencies, review state, owner."""
    return _detail(services().market.get(current_actor(), share))


@blueprint.get("/market/<share>/source")
@requires(Permission.SHARE_READ, Place.ANYWHERE)
@blueprint.doc(responses=download("A gzipped tar.", "application/gzip"))
def get_offered_source(share: str) -> Response:
    """Download the shared source, as for a folder that begins from a starter."""
    found, files = services().market.files(current_actor(), share)
    return archive_response(files, found.name)


@blueprint.post("/market/<share>/installations")
@requires(Permission.FUNCTION_WRITE, Place.ANYWHERE)
@idempotent
@blueprint.input(InstallIn)
@blueprint.output(InstalledOut, 201)
def install_offer(share: str, json_data: InstallIn) -> Response:
    """Make a function whose draft is a copy of what is offered, all of it or nothing."""
    made = services().market.install(
        current_actor(), share, project=json_data.project, name=json_data.name, digest=json_data.digest
    )
    shown = InstalledOut(id=made.id, project=made.project, name=made.name, share=share)
    return with_etag(jsonify(shown.model_dump(mode="json")), made.etag, 201)


@blueprint.get("/installations")
@requires(Permission.FUNCTION_READ, Place.ANYWHERE)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[InstallationOut])
def list_installations(query_data: PageQuery) -> Response:
    """List what was installed, and what has newer versions."""
    page = services().market.installations(
        current_actor(), after=list_position(query_data) or "", limit=query_data.limit
    )
    rows = [_installation(one) for one in page.items]
    return page_response(InstallationOut, rows, query_data, page.next or None)


@blueprint.get("/functions/<function>/installation")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(InstallationOut)
def get_installation(function: str) -> dict[str, Any]:
    """Show where a function came from, and whether its share offers a newer version."""
    return _installation(services().market.installed(current_actor(), function))


@blueprint.post("/functions/<function>/installation/update")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.input(UpdateIn)
@blueprint.output(UpdatedOut)
def update_installation(function: str, json_data: UpdateIn) -> Response:
    """Replace the draft by what the share offers now; needs the draft's ETag as If-Match."""
    if_match = required_if_match()
    draft = services().market.update(current_actor(), function, if_match=if_match, digest=json_data.digest)
    shown = UpdatedOut(function=draft.function, revision=draft.revision)
    return with_etag(jsonify(shown.model_dump(mode="json")), draft.etag)


def _row(offered: Offered) -> dict[str, Any]:
    share = offered.share
    return {
        "id": share.id,
        "kind": share.kind,
        "name": share.name,
        "summary": share.summary,
        "tags": list(share.tags),
        "organization": offered.owner,
        "organization_title": offered.owner_title,
        "number": share.number,
        "digest": share.digest,
        "reviewed": share.reviewed,
        "audience": share.audience,
        "shared_at": share.created_ms,
        "updated_at": share.updated_ms,
    }


def _detail(offer: Offer) -> dict[str, Any]:
    declared = offer.version.declaration
    return {
        **_row(offer.offered),
        "readme": offer.readme,
        "runtime": declared.runtime,
        "input_schema": declared.input_schema,
        "output_schema": declared.output_schema,
        "settings": list(declared.settings),
        "secrets": list(declared.secrets),
        "dependencies": dict(offer.packages),
        "files": list(offer.version.files),
        "withdrawn": offer.withdrawn or None,
    }


def _installation(installed: Installed) -> dict[str, Any]:
    source, newer = installed.installation, installed.newer
    return {
        "function": source.function,
        "share": source.share,
        "organization": source.source_organization,
        "name": source.source_name,
        "number": source.number,
        "digest": source.digest,
        "installed_by": source.installed_by,
        "installed_at": source.installed_ms,
        "shared": installed.shared,
        "newer": {"number": newer.number, "digest": newer.digest, "updated_at": newer.updated_ms}
        if newer
        else None,
    }
