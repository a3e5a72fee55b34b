"""A bounded read on behalf of an actor: it finds what they may see, and refuses what they may not do.

Nothing here changes anything; that is `changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from control_plane.domain.access import SYSTEM, Permission, Scope
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Department, Method, Organization, Project
from control_plane.errors import Forbidden, NotFound
from control_plane.store.unit_of_work import UnitOfWork

__all__ = ["Page", "View", "absent"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list in the order of ids. `next` goes into the following request; empty at the end."""

    items: tuple[T, ...]
    next: str = ""


def absent(noun: str, identifier: str) -> NotFound:
    """Return the error for a thing that is not there or not the actor's to see."""
    return NotFound(f"There is no {noun} “{identifier[:80]}”.", hint=f"List the {noun}s that you can see.")


@dataclass(slots=True)
class View:
    """A bounded read on behalf of an actor; every query names the actor's organization."""

    actor: Actor
    unit: UnitOfWork
    now_ms: int

    @property
    def organization(self) -> str:
        """The tenant that everything here belongs to."""
        return self.actor.organization

    def allows(self, permission: Permission, scope: Scope) -> bool:
        """Say whether the actor holds the right there. Ingot itself holds every right."""
        return self.actor.method is Method.SYSTEM or self.actor.allows(permission, scope)

    def require(self, permission: Permission, scope: Scope) -> None:
        """Refuse when the actor does not hold the right."""
        if self.actor.must_change_password:
            raise Forbidden(
                "The one-time password must be changed first.",
                hint="Set a password of your own, then repeat.",
            )
        if not self.allows(permission, scope):
            raise Forbidden(
                f"This needs the permission {permission}.",
                hint="Ask an owner of the organization for a role that has it.",
            )

    def require_organization(self, permission: Permission) -> None:
        """Refuse when the actor does not hold the right in the whole organization."""
        self.require(permission, Scope((self.organization,)))

    def require_system(self, permission: Permission) -> None:
        """Refuse when the actor does not hold the right in the whole system."""
        self.require(permission, SYSTEM)

    def named_organization(self, identifier: str, permission: Permission) -> Organization:
        """Return the organization with this id or name, or the actor's own for `current`."""
        wanted = self.organization if identifier == "current" else identifier
        rows = self.unit.identity
        find = rows.organization if wanted.startswith("org_") else rows.organization_by_name
        found = find(wanted)
        own = found is not None and found.id == self.organization
        if found is None or not (own or self.allows(Permission.ORGANIZATION_READ, found.scope)):
            raise absent("organization", identifier)
        self.require(permission, found.scope)
        return found

    def department(self, identifier: str, permission: Permission) -> Department:
        """Return the department with this id or name when the actor holds the right in it."""
        rows = self.unit.departments
        find = rows.get if identifier.startswith("dep_") else rows.by_name
        found = find(self.organization, identifier)
        if found is None or not self.allows(Permission.DEPARTMENT_READ, found.scope):
            raise absent("department", identifier)
        self.require(permission, found.scope)
        return found

    def project(self, identifier: str, permission: Permission) -> Project:
        """Return the project with this id or name when the actor holds the right in it."""
        rows = self.unit.identity
        find = rows.project if identifier.startswith("prj_") else rows.project_by_name
        project = find(self.organization, identifier)
        if project is None or not self.allows(Permission.PROJECT_READ, project.scope):
            raise absent("project", identifier)
        self.require(permission, project.scope)
        return project

    def function(self, identifier: str, permission: Permission) -> tuple[Function, Project]:
        """Return the function with this id or name, and its project, when the actor holds the right."""
        rows = self.unit.functions
        find = rows.get if identifier.startswith("fn_") else rows.by_name
        function = find(self.organization, identifier)
        if function is None:
            raise absent("function", identifier)
        project = self.unit.identity.project(self.organization, function.project)
        if project is None or not self.allows(Permission.FUNCTION_READ, project.scope):
            raise absent("function", identifier)
        self.require(permission, project.scope)
        return function, project
