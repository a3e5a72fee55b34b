"""Organizations: the tenants, and who made them."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, own, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Name, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Organization

blueprint = make_blueprint("organizations")


class OrganizationIn(Input):
    """A tenant to make."""

    name: Name
    title: Annotated[str, Field(max_length=100)] = ""


class OrganizationPatch(Input):
    """What may change of a tenant; its name is part of addresses and stays."""

    title: Annotated[str, Field(max_length=100)]


class OrganizationOut(Output):
    """A tenant."""

    id: str
    name: str
    title: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]


@blueprint.get("/organizations")
@own("It lists the organizations that the caller is a member of.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[OrganizationOut])
def list_organizations(query_data: PageQuery) -> Response:
    """List one's organizations; all of them with a role in the whole system."""
    after = str(list_position(query_data) or "")
    page = services().organizations.list(current_actor(), after=after, limit=query_data.limit)
    return page_response(OrganizationOut, page.items, query_data, page.next or None)


@blueprint.post("/organizations")
@requires(Permission.ORGANIZATION_CREATE, Place.SYSTEM)
@idempotent
@blueprint.input(OrganizationIn)
@blueprint.output(OrganizationOut, 201)
def create_organization(json_data: OrganizationIn) -> Response:
    """Make an organization; the caller is its first owner."""
    made = services().organizations.create(current_actor(), name=json_data.name, title=json_data.title)
    return _shown(made, 201)


@blueprint.get("/organizations/current")
@requires(Permission.ORGANIZATION_READ, Place.ANYWHERE)
@blueprint.output(OrganizationOut)
def get_current_organization() -> Response:
    """Show the organization that the caller acts in."""
    return _shown(services().organizations.get(current_actor()))


@blueprint.get("/organizations/<organization>")
@requires(Permission.ORGANIZATION_READ, Place.ORGANIZATION)
@blueprint.output(OrganizationOut)
def get_organization(organization: str) -> Response:
    """Show an organization; its ETag is what a change must name."""
    return _shown(services().organizations.named(current_actor(), organization))


@blueprint.patch("/organizations/<organization>")
@requires(Permission.ORGANIZATION_MANAGE, Place.ORGANIZATION)
@blueprint.input(OrganizationPatch)
@blueprint.output(OrganizationOut)
def change_organization(organization: str, json_data: OrganizationPatch) -> Response:
    """Give an organization another title; needs If-Match."""
    if_match = required_if_match()
    changed = services().organizations.change(
        current_actor(), organization, title=json_data.title, if_match=if_match
    )
    return _shown(changed)


def _shown(organization: Organization, status: int = 200) -> Response:
    body: dict[str, Any] = OrganizationOut.model_validate(organization).model_dump(mode="json")
    return with_etag(jsonify(body), organization.etag, status)
