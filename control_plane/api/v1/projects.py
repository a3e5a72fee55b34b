"""Projects."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import BeforeValidator, Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Name, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.api.v1.policies import PolicyIn, PolicyOut, to_policy
from control_plane.domain.access import Permission
from control_plane.domain.identity import Project

blueprint = make_blueprint("projects")


class ProjectIn(Input):
    """A project to make."""

    name: Name
    title: Annotated[str, Field(max_length=100)] = ""
    policy: PolicyIn | None = None
    # Id or name of the department that it lies in; without it, directly in the organization.
    department: Annotated[str, Field(max_length=80)] = ""


class ProjectPatch(Input):
    """What may change of a project; what is absent stays."""

    title: Annotated[str, Field(max_length=100)] | None = None
    # Id or name; empty moves it directly into the organization.
    department: Annotated[str, Field(max_length=80)] | None = None


class ProjectQuery(PageQuery):
    """Which projects."""

    department: Annotated[str, Field(max_length=80, description="In it and below it, by id or name.")] = ""


class ProjectOut(Output):
    """A project; `department` is empty directly below the organization, `scope` is where roles are bound."""

    id: str
    organization: str
    name: str
    title: str
    department: str
    scope: Annotated[str, BeforeValidator(str)]
    policy: PolicyOut
    created_at: Annotated[Time, Field(validation_alias="created_ms")]


@blueprint.get("/projects")
@requires(Permission.PROJECT_READ, Place.ANYWHERE)
@blueprint.input(ProjectQuery, location="query")
@blueprint.output(Page[ProjectOut])
def list_projects(query_data: ProjectQuery) -> Response:
    """List the projects that one can see."""
    rows = services().projects.list(current_actor(), department=query_data.department)
    return slice_response(ProjectOut, rows, query_data)


@blueprint.post("/projects")
@requires(Permission.PROJECT_CREATE, Place.ANYWHERE)
@idempotent
@blueprint.input(ProjectIn)
@blueprint.output(ProjectOut, 201)
def create_project(json_data: ProjectIn) -> Response:
    """Make a project, in the organization or in a department."""
    policy = to_policy(json_data.policy) if json_data.policy else None
    made = services().projects.create(
        current_actor(),
        name=json_data.name,
        title=json_data.title,
        policy=policy,
        department=json_data.department,
    )
    return _shown(made, 201)


@blueprint.get("/projects/<project>")
@requires(Permission.PROJECT_READ, Place.PROJECT)
@blueprint.output(ProjectOut)
def get_project(project: str) -> Response:
    """Show a project; its ETag is what a change must name."""
    return _shown(services().projects.get(current_actor(), project))


@blueprint.patch("/projects/<project>")
@requires(Permission.PROJECT_MANAGE, Place.PROJECT)
@blueprint.input(ProjectPatch)
@blueprint.output(ProjectOut)
def change_project(project: str, json_data: ProjectPatch) -> Response:
    """Give a project another title, or move it with all that is bound to it; needs If-Match."""
    if_match = required_if_match()
    changed = services().projects.change(
        current_actor(),
        project,
        title=json_data.title,
        department=json_data.department,
        if_match=if_match,
    )
    return _shown(changed)


def _shown(project: Project, status: int = 200) -> Response:
    body: dict[str, Any] = ProjectOut.model_validate(project).model_dump(mode="json")
    return with_etag(jsonify(body), project.etag, status)
