"""Organizations and projects."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, own, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Organization, Project, ReviewPolicy

blueprint = make_blueprint("projects")


class OrganizationOut(Output):
    """A tenant."""

    id: str
    name: str
    title: str
    created_at: Annotated[Time, Field(validation_alias="created_ms")]


class PolicyOut(Output):
    """What a project asks before a version may be released."""

    approvals: int
    approval_days: int


class PolicyIn(Input):
    """What a project shall ask before a version may be released."""

    approvals: Annotated[int, Field(ge=0, le=6)]
    approval_days: Annotated[int, Field(ge=1, le=90)] = 7


class ProjectIn(Input):
    """A project to make."""

    name: Annotated[str, Field(max_length=40)]
    title: Annotated[str, Field(max_length=100)] = ""
    policy: PolicyIn | None = None


class ProjectOut(Output):
    """A project."""

    id: str
    organization: str
    name: str
    title: str
    policy: PolicyOut
    created_at: Annotated[Time, Field(validation_alias="created_ms")]


@blueprint.get("/organizations")
@own("It lists the organizations that the caller is a member of.")
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[OrganizationOut])
def list_organizations(query_data: PageQuery) -> Response:
    """List one's organizations."""
    return slice_response(OrganizationOut, services().sessions.organizations(current_actor()), query_data)


@blueprint.get("/organizations/current")
@requires(Permission.ORGANIZATION_READ, Place.ANYWHERE)
@blueprint.output(OrganizationOut)
def get_organization() -> Organization:
    """Show the organization that the caller acts in."""
    return services().organizations.get(current_actor())


@blueprint.get("/projects")
@requires(Permission.PROJECT_READ, Place.ANYWHERE)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[ProjectOut])
def list_projects(query_data: PageQuery) -> Response:
    """List the projects that one can see."""
    return slice_response(ProjectOut, services().projects.list(current_actor()), query_data)


@blueprint.post("/projects")
@requires(Permission.PROJECT_CREATE, Place.ORGANIZATION)
@idempotent
@blueprint.input(ProjectIn)
@blueprint.output(ProjectOut, 201)
def create_project(json_data: ProjectIn) -> Project:
    """Make a project."""
    policy = ReviewPolicy(**json_data.policy.model_dump()) if json_data.policy else None
    return services().projects.create(
        current_actor(), name=json_data.name, title=json_data.title, policy=policy
    )


@blueprint.get("/projects/<project>")
@requires(Permission.PROJECT_READ, Place.PROJECT)
@blueprint.output(ProjectOut)
def get_project(project: str) -> Response:
    """Show a project; its ETag is what a change must name."""
    return _shown(services().projects.get(current_actor(), project))


@blueprint.put("/projects/<project>/policy")
@requires(Permission.PROJECT_MANAGE, Place.PROJECT)
@blueprint.input(PolicyIn)
@blueprint.output(ProjectOut)
def set_policy(project: str, json_data: PolicyIn) -> Response:
    """Change what a project asks before a release; needs If-Match."""
    if_match = required_if_match()
    policy = ReviewPolicy(approvals=json_data.approvals, approval_days=json_data.approval_days)
    return _shown(services().projects.set_policy(current_actor(), project, policy, if_match=if_match))


def _shown(project: Project) -> Response:
    body: dict[str, Any] = ProjectOut.model_validate(project).model_dump(mode="json")
    return with_etag(jsonify(body), project.etag)
