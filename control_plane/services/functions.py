"""Functions: making, finding, describing, taking them down and bringing them back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.access import Permission
from control_plane.domain.function_search import FunctionSearch, FunctionSort
from control_plane.domain.functions import Draft, Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict, Invalid
from control_plane.services.changes import Change, Changes, Page, View
from control_plane.services.editing import check_match, check_title

__all__ = ["Details", "Functions", "check_details", "make_function", "visible_projects"]

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?")
_MOST_LABELS: Final = 32


@dataclass(frozen=True, slots=True)
class Details:
    """What a function is called and described by; None leaves a part as it is."""

    title: str | None = None
    description: str | None = None
    labels: Mapping[str, str] | None = None


def visible_projects(view: View) -> tuple[str, ...]:
    """Return the projects whose functions the actor may see."""
    projects = view.unit.identity.projects(view.organization)
    return tuple(one.id for one in projects if view.allows(Permission.FUNCTION_READ, one.scope))


def make_function(change: Change, place: Project, name: str, title: str = "") -> Function:
    """Make a function with an empty draft in the open transaction. One organization has a name once."""
    check_name(name)
    check_title(title)
    if change.unit.functions.by_name(change.organization, name):
        raise Conflict(f"There is a function “{name}” already.", field="name", hint="Choose another name.")
    function = Function(
        id=change.new_id("function"),
        organization=change.organization,
        project=place.id,
        name=name,
        title=title or name,
        created_by=change.actor.user,
        created_ms=change.now_ms,
        updated_ms=change.now_ms,
    )
    draft = Draft(
        function=function.id,
        organization=change.organization,
        project=place.id,
        revision=1,
        files=(),
        lock="",
        updated_by=change.actor.user,
        updated_ms=change.now_ms,
    )
    change.unit.functions.add(function, draft)
    change.happened("function.created", function.id, {"name": name, "project": place.id})
    return function


class Functions:
    """Use cases about functions as named things."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: Actor, *, project: str, name: str, title: str = "") -> Function:
        """Make a function with an empty draft. The name is its path, so one organization has it once."""
        with self._changes.change(actor, "function.create") as change:
            place = change.project(project, Permission.FUNCTION_WRITE)
            return make_function(change, place, name, title)

    def get(self, actor: Actor, function: str) -> Function:
        """Return a function by id or name."""
        with self._changes.read(actor) as view:
            return view.function(function, Permission.FUNCTION_READ)[0]

    def names(self, actor: Actor, functions: Collection[str]) -> dict[str, str]:
        """Return id -> name of those of these functions that the actor can see."""
        with self._changes.read(actor) as view:
            visible = visible_projects(view)
            known = view.unit.functions.by_ids(actor.organization, functions)
        return {one.id: one.name for one in known if one.project in visible}

    def names_in(self, actor: Actor, project: str) -> dict[str, str]:
        """Return id -> name of the functions of a project that the actor can see."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.FUNCTION_READ)
            return view.unit.functions.names(actor.organization, place.id)

    def list(
        self,
        actor: Actor,
        *,
        project: str = "",
        search: FunctionSearch | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[Function]:
        """Return the functions that the actor can see, of one project or of all."""
        wanted = search or FunctionSearch()
        with self._changes.read(actor) as view:
            if project:
                visible: tuple[str, ...] = (view.project(project, Permission.FUNCTION_READ).id,)
            else:
                visible = visible_projects(view)
            rows = view.unit.functions.list(
                actor.organization, visible, wanted, after=_position(after), limit=limit + 1
            )
        return Page(rows[:limit], _place(wanted, rows[limit - 1]) if len(rows) > limit else "")

    def describe(self, actor: Actor, function: str, details: Details, *, if_match: str) -> Function:
        """Change title, description or labels; calls go on as before."""
        check_details(details)
        with self._changes.change(actor, "function.describe", f"function/{function}") as change:
            known, _ = change.function(function, Permission.FUNCTION_WRITE)
            check_match(known.etag, if_match, "function")
            given: dict[str, Any] = {
                "title": known.title if details.title is None else details.title or known.name,
                "description": known.description if details.description is None else details.description,
                "labels": dict(known.labels if details.labels is None else details.labels),
            }
            edited = replace(known, **given, revision=known.revision + 1, updated_ms=change.now_ms)
            change.unit.functions.update(edited)
            change.happened("function.changed", known.id, {"name": known.name}, **given)
        return edited

    def remove(self, actor: Actor, function: str) -> Function:
        """Take a function down: no call reaches it any more; its name and its history stay."""
        with self._changes.change(actor, "function.remove", f"function/{function}") as change:
            known, _ = change.function(function, Permission.RELEASE_WRITE)
            if known.removed_ms:
                return known
            removed = replace(known, removed_ms=change.now_ms, updated_ms=change.now_ms)
            change.unit.functions.update(removed)
            _end_releases(change, known)
            change.happened("function.removed", known.id, {"name": known.name, "project": known.project})
            change.bump()
        return removed

    def restore(self, actor: Actor, function: str) -> Function:
        """Bring a function back, idle: what may receive calls is decided by a new release."""
        with self._changes.change(actor, "function.restore", f"function/{function}") as change:
            known, _ = change.function(function, Permission.RELEASE_WRITE)
            if not known.removed_ms:
                return known
            # One that was taken down before releases ended with their function may have one still.
            _end_releases(change, known)
            restored = replace(known, removed_ms=0, updated_ms=change.now_ms)
            change.unit.functions.update(restored)
            change.happened("function.restored", known.id, {"name": known.name, "project": known.project})
            change.bump()
        return restored


def _end_releases(change: Change, function: Function) -> None:
    for release in change.unit.releases.active_of(function.organization, function.id):
        change.unit.releases.update(release.taken_down(change.now_ms))
        data = {"function": function.id, "number": release.number}
        change.happened("release.superseded", release.id, data)


def check_details(details: Details) -> None:
    """Refuse a title, description or labels that a function cannot have."""
    check_title(details.title or "")
    if len(details.description or "") > 4_000:
        raise Invalid("A description has at most 4,000 characters.", field="description")
    labels = details.labels or {}
    if len(labels) > _MOST_LABELS:
        raise Invalid(f"A function has at most {_MOST_LABELS} labels.", field="labels")
    for name, value in labels.items():
        if not _LABEL.fullmatch(name) or len(value) > 200 or (value and not value.isprintable()):
            raise Invalid(
                f"The label “{name[:60]}” cannot be used.",
                field="labels",
                hint="Names have 1-63 lower-case letters, digits, . _ / -; values at most 200 characters.",
            )


def _place(search: FunctionSearch, last: Function) -> str:
    """Return the position behind a function in the order of the search."""
    if search.sort is FunctionSort.NAME:
        return last.name
    return f"{last.id} {last.updated_ms}" if search.sort is FunctionSort.UPDATED else last.id


def _position(after: str) -> tuple[str, int] | None:
    text, _, updated_ms = after.partition(" ")
    return (text, int(updated_ms or 0)) if after else None
