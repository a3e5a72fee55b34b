"""Departments: places between an organization and its projects, where roles can be bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from control_plane.domain.access import Permission, Scope
from control_plane.domain.identity import Actor, Department
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict, Invalid
from control_plane.services.changes import Changes
from control_plane.services.editing import check_match, check_title

__all__ = ["Departments"]

# Deep enough for a company, and every decision walks at most so many places up.
_DEEPEST: Final = 5


class Departments:
    """Use cases about departments."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: Actor, *, name: str, title: str = "", parent: str = "") -> Department:
        """Make a department below the organization, or below another department."""
        check_name(name)
        check_title(title)
        with self._changes.change(actor, "department.create") as change:
            change.refresh_rights()
            place = Scope((actor.organization,))
            if parent:
                place = change.department(parent, Permission.DEPARTMENT_MANAGE).scope
            else:
                change.require_organization(Permission.DEPARTMENT_MANAGE)
            if len(place.path) > _DEEPEST:
                raise Invalid(f"Departments are nested at most {_DEEPEST} deep.", field="parent")
            if change.unit.departments.by_name(actor.organization, name):
                raise Conflict(
                    f"There is a department “{name}” already.", field="name", hint="Choose another name."
                )
            department = Department(
                id=change.new_id("department"),
                organization=actor.organization,
                name=name,
                title=title or name,
                path=place.path,
                created_ms=change.now_ms,
            )
            change.unit.departments.add(department)
            change.happened("department.created", department.id, {"name": name}, scope=str(department.scope))
        return department

    def list(self, actor: Actor) -> tuple[Department, ...]:
        """Return the departments that the actor can see."""
        with self._changes.read(actor) as view:
            known = view.unit.departments.all(actor.organization)
            return tuple(one for one in known if view.allows(Permission.DEPARTMENT_READ, one.scope))

    def get(self, actor: Actor, department: str) -> Department:
        """Return a department by id or name."""
        with self._changes.read(actor) as view:
            return view.department(department, Permission.DEPARTMENT_READ)

    def change(self, actor: Actor, department: str, *, title: str, if_match: str) -> Department:
        """Give a department another title."""
        check_title(title)
        with self._changes.change(actor, "department.change", f"department/{department}") as change:
            known = change.department(department, Permission.DEPARTMENT_MANAGE)
            check_match(known.etag, if_match, "department")
            changed = replace(known, title=title or known.name, revision=known.revision + 1)
            change.unit.departments.update(changed)
            change.happened("department.changed", known.id, {"title": changed.title}, before=known.title)
        return changed

    def remove(self, actor: Actor, department: str) -> None:
        """Remove an empty department, and with it the roles bound there."""
        with self._changes.change(actor, "department.remove", f"department/{department}") as change:
            known = change.department(department, Permission.DEPARTMENT_MANAGE)
            if change.unit.departments.occupied(known):
                raise Conflict(
                    f"Department “{known.name}” is not empty.",
                    hint="Move its projects and remove its departments first.",
                )
            change.unit.departments.remove(known)
            change.happened("department.removed", known.id, {"name": known.name})
