"""Settings and secrets of a project and its functions. A secret is never read back."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify, request
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.values import Stage, Value, ValueKey, ValueKind

blueprint = make_blueprint("settings")

_FUNCTION = Field(max_length=80, description="Id or name of the one function that reads it; empty: all.")


class ValueIn(Input):
    """A new value, for live calls or for test runs."""

    value: Annotated[str, Field(max_length=32_768)]
    stage: Stage = Stage.LIVE
    function: Annotated[str, _FUNCTION] = ""


class KeyQuery(Input):
    """Which of the values of a name."""

    stage: Stage = Stage.LIVE
    function: Annotated[str, _FUNCTION] = ""


class ValuesQuery(PageQuery):
    """Which values to list."""

    function: Annotated[str, Field(max_length=80, description="Only what this function may bind.")] = ""


class VersionsQuery(PageQuery, KeyQuery):
    """Whose versions to list."""


class SettingOut(Output):
    """One version of a value, the newest unless versions are listed; a secret's value is null."""

    id: str
    kind: str
    stage: str
    name: str
    # Null: every function of the project reads it.
    function: str | None
    number: int
    value: str | None
    removed: bool
    created_by: str
    created_at: Time


class UseOut(Output):
    """A part of a live or pending release that holds a version of the value."""

    function: str
    function_name: str
    release: int
    state: str
    version: int
    number: int
    # An older version than the newest; the function's next release takes the newest.
    outdated: bool


class SettingDetailOut(SettingOut):
    """The newest version of a value, and which releases hold which version of it."""

    used_by: list[UseOut]


@blueprint.get("/projects/<project>/settings")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(ValuesQuery, location="query")
@blueprint.output(Page[SettingOut])
def list_settings(project: str, query_data: ValuesQuery) -> Response:
    """List the settings, and the names of the secrets."""
    values = services().settings.list(current_actor(), project=project, function=query_data.function)
    return slice_response(SettingOut, [_row(value) for value in values], query_data)


@blueprint.get("/projects/<project>/settings/<name>")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(KeyQuery, location="query")
@blueprint.output(SettingDetailOut)
def get_setting(project: str, name: str, query_data: KeyQuery) -> Response:
    """Show a setting and the releases that hold it; its ETag is what a change must name."""
    return _detail(project, _key(ValueKind.SETTING, name, query_data))


@blueprint.get("/projects/<project>/settings/<name>/versions")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(VersionsQuery, location="query")
@blueprint.output(Page[SettingOut])
def list_setting_versions(project: str, name: str, query_data: VersionsQuery) -> Response:
    """List a setting's versions, newest first."""
    return _versions(project, _key(ValueKind.SETTING, name, query_data), query_data)


@blueprint.put("/projects/<project>/settings/<name>")
@requires(Permission.SETTING_WRITE, Place.PROJECT)
@blueprint.input(ValueIn)
@blueprint.output(SettingDetailOut)
def set_setting(project: str, name: str, json_data: ValueIn) -> Response:
    """Give a setting a value, a new one under If-Match; the next release uses it."""
    return _put(project, _key(ValueKind.SETTING, name, json_data), json_data.value)


@blueprint.delete("/projects/<project>/settings/<name>")
@requires(Permission.SETTING_WRITE, Place.PROJECT)
@blueprint.input(KeyQuery, location="query")
@blueprint.output({}, 204)
def remove_setting(project: str, name: str, query_data: KeyQuery) -> Response:
    """Let no further release use a setting; refused while one holds it."""
    return _remove(project, _key(ValueKind.SETTING, name, query_data))


@blueprint.get("/projects/<project>/secrets/<name>")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(KeyQuery, location="query")
@blueprint.output(SettingDetailOut)
def get_secret(project: str, name: str, query_data: KeyQuery) -> Response:
    """Show that a secret is there and which releases hold which version, never its value."""
    return _detail(project, _key(ValueKind.SECRET, name, query_data))


@blueprint.get("/projects/<project>/secrets/<name>/versions")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(VersionsQuery, location="query")
@blueprint.output(Page[SettingOut])
def list_secret_versions(project: str, name: str, query_data: VersionsQuery) -> Response:
    """List a secret's versions, newest first, without values."""
    return _versions(project, _key(ValueKind.SECRET, name, query_data), query_data)


@blueprint.put("/projects/<project>/secrets/<name>")
@requires(Permission.SECRET_WRITE, Place.PROJECT)
@blueprint.input(ValueIn)
@blueprint.output(SettingDetailOut)
def set_secret(project: str, name: str, json_data: ValueIn) -> Response:
    """Give a secret a value, a new one under If-Match; nobody can read it back."""
    return _put(project, _key(ValueKind.SECRET, name, json_data), json_data.value)


@blueprint.delete("/projects/<project>/secrets/<name>")
@requires(Permission.SECRET_WRITE, Place.PROJECT)
@blueprint.input(KeyQuery, location="query")
@blueprint.output({}, 204)
def remove_secret(project: str, name: str, query_data: KeyQuery) -> Response:
    """Let no further release use a secret; refused while one holds it."""
    return _remove(project, _key(ValueKind.SECRET, name, query_data))


def _key(kind: ValueKind, name: str, asked: ValueIn | KeyQuery) -> ValueKey:
    return ValueKey(kind, name, asked.stage, asked.function)


def _detail(project: str, key: ValueKey) -> Response:
    return _shown(project, key, services().settings.get(current_actor(), project, key))


def _versions(project: str, key: ValueKey, query: PageQuery) -> Response:
    versions = services().settings.versions(current_actor(), project, key)
    return slice_response(SettingOut, [_row(value) for value in versions], query)


def _put(project: str, key: ValueKey, content: str) -> Response:
    # Only a name without a value is set without If-Match; the service refuses the rest.
    if_match = required_if_match() if "If-Match" in request.headers else ""
    value = services().settings.put(current_actor(), project, key, content, if_match=if_match)
    return _shown(project, key, value)


def _remove(project: str, key: ValueKey) -> Response:
    services().settings.remove(current_actor(), project, key, if_match=required_if_match())
    return Response(status=204)


def _shown(project: str, key: ValueKey, value: Value) -> Response:
    uses = services().settings.uses(current_actor(), project, key)
    shown = SettingDetailOut.model_validate({**_row(value), "used_by": list(uses)})
    return with_etag(jsonify(shown.model_dump(mode="json")), value.etag)


def _row(value: Value) -> dict[str, Any]:
    return {
        "id": value.id,
        "kind": value.kind,
        "stage": value.stage,
        "name": value.name,
        "function": value.function or None,
        "number": value.number,
        "value": value.content if value.kind is ValueKind.SETTING and not value.removed else None,
        "removed": value.removed,
        "created_by": value.created_by,
        "created_at": value.created_ms,
    }
