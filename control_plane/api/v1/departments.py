"""Departments: places between an organization and its projects."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Name, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.identity import Department

blueprint = make_blueprint("departments")


class DepartmentIn(Input):
    """A department to make."""

    name: Name
    title: Annotated[str, Field(max_length=100)] = ""
    # Id or name of the department that it lies in; without it, directly in the organization.
    parent: Annotated[str, Field(max_length=80)] = ""


class DepartmentPatch(Input):
    """What may change of a department."""

    title: Annotated[str, Field(max_length=100)]


class DepartmentOut(Output):
    """A department; `parent` is empty directly below the organization, `scope` is where roles are bound."""

    id: str
    organization: str
    name: str
    title: str
    parent: str
    scope: str
    created_at: Time


@blueprint.get("/departments")
@requires(Permission.DEPARTMENT_READ, Place.ANYWHERE)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[DepartmentOut])
def list_departments(query_data: PageQuery) -> Response:
    """List the departments that one can see."""
    rows = [_row(one) for one in services().departments.list(current_actor())]
    return slice_response(DepartmentOut, rows, query_data)


@blueprint.post("/departments")
@requires(Permission.DEPARTMENT_MANAGE, Place.ANYWHERE)
@idempotent
@blueprint.input(DepartmentIn)
@blueprint.output(DepartmentOut, 201)
def create_department(json_data: DepartmentIn) -> Response:
    """Make a department."""
    made = services().departments.create(
        current_actor(), name=json_data.name, title=json_data.title, parent=json_data.parent
    )
    return _shown(made, 201)


@blueprint.get("/departments/<department>")
@requires(Permission.DEPARTMENT_READ, Place.DEPARTMENT)
@blueprint.output(DepartmentOut)
def get_department(department: str) -> Response:
    """Show a department; its ETag is what a change must name."""
    return _shown(services().departments.get(current_actor(), department))


@blueprint.patch("/departments/<department>")
@requires(Permission.DEPARTMENT_MANAGE, Place.DEPARTMENT)
@blueprint.input(DepartmentPatch)
@blueprint.output(DepartmentOut)
def change_department(department: str, json_data: DepartmentPatch) -> Response:
    """Give a department another title; needs If-Match."""
    if_match = required_if_match()
    changed = services().departments.change(
        current_actor(), department, title=json_data.title, if_match=if_match
    )
    return _shown(changed)


@blueprint.delete("/departments/<department>")
@requires(Permission.DEPARTMENT_MANAGE, Place.DEPARTMENT)
@blueprint.output({}, 204)
def remove_department(department: str) -> Response:
    """Remove an empty department and the roles bound there."""
    services().departments.remove(current_actor(), department)
    return Response(status=204)


def _row(department: Department) -> dict[str, Any]:
    return {
        "id": department.id,
        "organization": department.organization,
        "name": department.name,
        "title": department.title,
        "parent": department.parent,
        "scope": str(department.scope),
        "created_at": department.created_ms,
    }


def _shown(department: Department, status: int = 200) -> Response:
    body = DepartmentOut.model_validate(_row(department)).model_dump(mode="json")
    return with_etag(jsonify(body), department.etag, status)
