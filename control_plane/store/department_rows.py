"""Rows of departments, and what follows when a project moves from one to another."""

from __future__ import annotations

from sqlalchemy import Connection, delete, literal, select, update

from control_plane.domain.access import Scope
from control_plane.domain.identity import Department
from control_plane.store.department_tables import departments
from control_plane.store.identity_tables import bindings, projects
from control_plane.store.rows import Rows

__all__ = ["DepartmentRows"]


class DepartmentRows:
    """The places between an organization and its projects."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._departments = Rows(connection, departments, Department)

    def add(self, department: Department) -> None:
        """Insert a department."""
        self._departments.add(department)

    def update(self, department: Department) -> None:
        """Write a department back."""
        self._departments.update(department, "organization", "id")

    def remove(self, department: Department) -> None:
        """Delete a department and the roles bound to it; it must be empty."""
        for table, column, value in (
            (bindings, bindings.c.scope, str(department.scope)),
            (departments, departments.c.id, department.id),
        ):
            own = table.c.organization == department.organization
            self._connection.execute(delete(table).where(own, column == value))

    def get(self, organization: str, department: str) -> Department | None:
        """Return a department by id."""
        return self._departments.one(organization=organization, id=department)

    def by_name(self, organization: str, name: str) -> Department | None:
        """Return a department by name."""
        return self._departments.one(organization=organization, name=name)

    def all(self, organization: str) -> tuple[Department, ...]:
        """Return the tenant's departments, oldest first."""
        return self._departments.every("id", organization=organization)

    def occupied(self, department: Department) -> bool:
        """Say whether a project or another department lies directly in it."""
        path = literal(department.scope.path, departments.c.path.type)
        for table in (projects, departments):
            statement = select(table.c.id).where(
                table.c.organization == department.organization, table.c.path == path
            )
            if self._connection.execute(statement.limit(1)).first():
                return True
        return False

    def move_bindings(self, organization: str, before: Scope, after: Scope) -> None:
        """Let the roles bound at a place follow it."""
        self._connection.execute(
            update(bindings)
            .where(bindings.c.organization == organization, bindings.c.scope == str(before))
            .values(scope=str(after))
        )
