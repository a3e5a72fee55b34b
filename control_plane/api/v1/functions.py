"""Functions as named things."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.idempotency import idempotent
from control_plane.api.paging import BadCursor, Page, PageQuery, list_position, page_response
from control_plane.api.schemas import Input, Name, OptionalTime, Output, Time
from control_plane.api.state import api_options, services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.function_search import FunctionSearch, FunctionSort, FunctionState
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor
from control_plane.errors import NotFound
from control_plane.services.functions import Details

blueprint = make_blueprint("functions")


class FunctionIn(Input):
    """A function to make."""

    project: Annotated[str, Field(max_length=80, description="Id or name.")]
    name: Name
    title: Annotated[str, Field(max_length=100)] = ""


class FunctionQuery(PageQuery):
    """Which functions to list."""

    project: Annotated[str | None, Field(max_length=80, description="Id or name.")] = None
    name: Annotated[str | None, Field(max_length=80, description="Only the one of this name.")] = None
    state: Annotated[FunctionState | None, Field(description="Whether calls reach it.")] = None
    runtime: Annotated[str, Field(max_length=20, description="Of its newest version.")] = ""
    search: Annotated[str, Field(max_length=100, description="Part of the name or the title.")] = ""
    sort: Annotated[
        str, Field(pattern=r"^-?(name|created|updated)$", description="With a minus, the last comes first.")
    ] = "created"


class FunctionPatch(Input):
    """What to change; what is left out stays."""

    title: Annotated[str | None, Field(max_length=100)] = None
    description: Annotated[str | None, Field(max_length=4_000)] = None
    labels: Annotated[dict[str, str] | None, Field(max_length=32, description="Replaces all.")] = None


class FunctionOut(Output):
    """A function with where it is called and what is live."""

    id: str
    project: str
    project_name: str
    name: str
    title: str
    description: str
    labels: dict[str, str]
    state: str
    runtime: str
    path: str
    url: str
    latest: int
    # Numbers of the versions that receive calls, the largest share first.
    live_versions: list[int]
    unreviewed: Annotated[bool, Field(description="Its live release went out without any approval.")]
    created_by: str
    created_at: Time
    updated_at: Time
    removed_at: OptionalTime


@blueprint.post("/functions")
@requires(Permission.FUNCTION_WRITE, Place.ANYWHERE)
@idempotent
@blueprint.input(FunctionIn)
@blueprint.output(FunctionOut, 201)
def create_function(json_data: FunctionIn) -> Response:
    """Make a function with an empty draft."""
    actor = current_actor()
    made = services().functions.create(
        actor, project=json_data.project, name=json_data.name, title=json_data.title
    )
    return _one(actor, made, 201)


@blueprint.get("/functions")
@requires(Permission.FUNCTION_READ, Place.ANYWHERE)
@blueprint.input(FunctionQuery, location="query")
@blueprint.output(Page[FunctionOut])
def list_functions(query_data: FunctionQuery) -> Response:
    """List the functions that one can see."""
    actor = current_actor()
    if query_data.name is not None:
        return page_response(FunctionOut, _shown(actor, _named(actor, query_data.name)), query_data)
    page = services().functions.list(
        actor,
        project=query_data.project or "",
        search=FunctionSearch(
            state=query_data.state,
            runtime=query_data.runtime,
            text=query_data.search.strip(),
            sort=FunctionSort(query_data.sort.lstrip("-")),
            descending=query_data.sort.startswith("-"),
        ),
        after=_position(query_data),
        limit=query_data.limit,
    )
    following = [query_data.sort, page.next] if page.next else None
    return page_response(FunctionOut, _shown(actor, page.items), query_data, following)


@blueprint.get("/functions/<function>")
@requires(Permission.FUNCTION_READ, Place.FUNCTION)
@blueprint.output(FunctionOut)
def get_function(function: str) -> Response:
    """Show one function, by id or name; its ETag is what a change must name."""
    actor = current_actor()
    return _one(actor, services().functions.get(actor, function))


@blueprint.patch("/functions/<function>")
@requires(Permission.FUNCTION_WRITE, Place.FUNCTION)
@blueprint.input(FunctionPatch)
@blueprint.output(FunctionOut)
def describe_function(function: str, json_data: FunctionPatch) -> Response:
    """Change title, description or labels; needs If-Match."""
    actor = current_actor()
    details = Details(json_data.title, json_data.description, json_data.labels)
    return _one(actor, services().functions.describe(actor, function, details, if_match=required_if_match()))


@blueprint.delete("/functions/<function>")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.output({}, 204)
def remove_function(function: str) -> Response:
    """Take a function down: no call reaches it any more; its name and its history stay."""
    services().functions.remove(current_actor(), function)
    return Response(status=204)


@blueprint.post("/functions/<function>/restore")
@requires(Permission.RELEASE_WRITE, Place.FUNCTION)
@blueprint.output(FunctionOut)
def restore_function(function: str) -> Response:
    """Bring a function back, idle; release a version again to let calls in."""
    actor = current_actor()
    return _one(actor, services().functions.restore(actor, function))


def _position(query: FunctionQuery) -> str:
    """Return where the page begins; a cursor belongs to one order only."""
    sort, after = list_position(query) or (query.sort, "")
    if sort != query.sort:
        raise BadCursor(
            f"This cursor belongs to the order “{sort}”.", field="/cursor", hint="Start without a cursor."
        )
    return str(after)


def _one(actor: Actor, function: Function, status: int = 200) -> Response:
    shown = FunctionOut.model_validate(_shown(actor, (function,))[0]).model_dump(mode="json")
    return with_etag(jsonify(shown), function.etag, status)


def _named(actor: Actor, name: str) -> tuple[Function, ...]:
    try:
        return (services().functions.get(actor, name),)
    except NotFound:
        return ()


def _shown(actor: Actor, functions: tuple[Function, ...]) -> list[dict[str, Any]]:
    """Return functions with the names and the traffic that a reader needs beside them."""
    known = services()
    organization = known.organizations.get(actor)
    projects = {project.id: project.name for project in known.projects.list(actor)}
    releases = known.releases.live(actor, functions)
    rows = []
    for function in functions:
        path = f"{organization.name}/{function.name}"
        live = releases.get(function.id)
        parts = sorted(live.parts, key=lambda part: -part.percent) if live else []
        rows.append(
            {
                "id": function.id,
                "project": function.project,
                "project_name": projects.get(function.project, ""),
                "name": function.name,
                "title": function.title,
                "description": function.description,
                "labels": dict(function.labels),
                "state": "removed" if function.removed_ms else "live" if live else "idle",
                "runtime": function.runtime,
                "path": f"/{path}",
                "url": f"{api_options().functions_url}/{path}",
                "latest": function.latest,
                "live_versions": [part.number for part in parts],
                "unreviewed": bool(live and live.unreviewed),
                "created_by": function.created_by,
                "created_at": function.created_ms,
                "updated_at": function.updated_ms,
                "removed_at": function.removed_ms,
            }
        )
    return rows
