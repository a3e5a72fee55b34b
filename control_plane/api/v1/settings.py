"""Settings and secrets of a project. A secret is never read back."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, slice_response
from control_plane.api.schemas import Input, Output, Time
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.values import Stage, Value, ValueKind

blueprint = make_blueprint("settings")


class ValueIn(Input):
    """A new value, for live calls or for test runs."""

    value: Annotated[str, Field(max_length=32_768)]
    stage: Stage = Stage.LIVE


class StageQuery(Input):
    """Which of the two values."""

    stage: Stage = Stage.LIVE


class SettingOut(Output):
    """The newest value of a name; a secret's is null."""

    id: str
    kind: str
    stage: str
    name: str
    number: int
    value: str | None
    created_by: str
    created_at: Time


@blueprint.get("/projects/<project>/settings")
@requires(Permission.SETTING_READ, Place.PROJECT)
@blueprint.input(PageQuery, location="query")
@blueprint.output(Page[SettingOut])
def list_settings(project: str, query_data: PageQuery) -> Response:
    """List the settings, and the names of the secrets."""
    values = services().settings.list(current_actor(), project=project)
    return slice_response(SettingOut, [_shown(value) for value in values], query_data)


@blueprint.put("/projects/<project>/settings/<name>")
@requires(Permission.SETTING_WRITE, Place.PROJECT)
@blueprint.input(ValueIn)
@blueprint.output(SettingOut)
def set_setting(project: str, name: str, json_data: ValueIn) -> dict[str, Any]:
    """Give a setting a value; the next release uses it."""
    value = services().settings.set_setting(
        current_actor(), project=project, name=name, content=json_data.value, stage=json_data.stage
    )
    return _shown(value)


@blueprint.delete("/projects/<project>/settings/<name>")
@requires(Permission.SETTING_WRITE, Place.PROJECT)
@blueprint.input(StageQuery, location="query")
@blueprint.output({}, 204)
def remove_setting(project: str, name: str, query_data: StageQuery) -> Response:
    """Let no further release use a setting."""
    return _remove(project, name, ValueKind.SETTING, query_data.stage)


@blueprint.put("/projects/<project>/secrets/<name>")
@requires(Permission.SECRET_WRITE, Place.PROJECT)
@blueprint.input(ValueIn)
@blueprint.output(SettingOut)
def set_secret(project: str, name: str, json_data: ValueIn) -> dict[str, Any]:
    """Give a secret a value; nobody can read it back."""
    value = services().settings.set_secret(
        current_actor(), project=project, name=name, content=json_data.value, stage=json_data.stage
    )
    return _shown(value)


@blueprint.delete("/projects/<project>/secrets/<name>")
@requires(Permission.SECRET_WRITE, Place.PROJECT)
@blueprint.input(StageQuery, location="query")
@blueprint.output({}, 204)
def remove_secret(project: str, name: str, query_data: StageQuery) -> Response:
    """Let no further release use a secret."""
    return _remove(project, name, ValueKind.SECRET, query_data.stage)


def _remove(project: str, name: str, kind: ValueKind, stage: Stage) -> Response:
    services().settings.remove(current_actor(), project=project, name=name, kind=kind, stage=stage)
    return Response(status=204)


def _shown(value: Value) -> dict[str, Any]:
    return {
        "id": value.id,
        "kind": value.kind,
        "stage": value.stage,
        "name": value.name,
        "number": value.number,
        "value": value.content if value.kind is ValueKind.SETTING else None,
        "created_by": value.created_by,
        "created_at": value.created_ms,
    }
