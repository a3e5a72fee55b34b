"""Rows of users, organizations, projects, roles and failed sign-ins."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update

from control_plane.domain.access import Binding, Scope
from control_plane.domain.identity import Member, Organization, Project, User
from control_plane.store.rows import Rows, insert_missing
from control_plane.store.tables import bindings, login_failures, organizations, projects, users

__all__ = ["IdentityRows"]


class IdentityRows:
    """Who there is and what they may do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._users = Rows(connection, users, User)
        self._organizations = Rows(connection, organizations, Organization)
        self._projects = Rows(connection, projects, Project)

    def count_users(self) -> int:
        """Return how many users there are in the whole system."""
        return self._connection.execute(select(func.count()).select_from(users)).scalar_one()

    def add_user(self, user: User, password_hash: str) -> None:
        """Insert a user with a hashed password."""
        self._users.add(user, password_hash=password_hash)

    def user(self, user: str) -> User | None:
        """Return a user by id. Users stand above organizations; what they may see does not."""
        return self._users.one(users.c.id == user)

    def user_by_email(self, email: str) -> User | None:
        """Return a user by address in lower case."""
        return self._users.one(users.c.email == email)

    def password_hash(self, user: str) -> str:
        """Return the stored hash of a user's password."""
        return str(
            self._connection.execute(select(users.c.password_hash).where(users.c.id == user)).scalar_one()
        )

    def set_password(self, user: str, password_hash: str, *, must_change: bool) -> None:
        """Replace a user's password."""
        values = {"password_hash": password_hash, "must_change_password": must_change}
        self._connection.execute(update(users).where(users.c.id == user).values(**values))

    def add_organization(self, organization: Organization) -> None:
        """Insert a tenant."""
        self._organizations.add(organization)

    def organization(self, organization: str) -> Organization | None:
        """Return a tenant by id."""
        return self._organizations.one(organizations.c.id == organization)

    def organizations_of(self, user: str) -> tuple[Organization, ...]:
        """Return the tenants in which a user holds a role, oldest first."""
        held = select(bindings.c.organization).where(bindings.c.user == user)
        statement = self._organizations.select(organizations.c.id.in_(held)).order_by(organizations.c.id)
        return self._organizations.all(statement)

    def organization_names(self) -> dict[str, str]:
        """Return id -> name over all tenants, for the reconciler alone."""
        rows = self._connection.execute(select(organizations.c.id, organizations.c.name))
        return {row.id: row.name for row in rows}

    def add_project(self, project: Project) -> None:
        """Insert a project."""
        self._projects.add(project)

    def update_project(self, project: Project) -> None:
        """Write a project back."""
        self._projects.update(project, "organization", "id")

    def project(self, organization: str, project: str) -> Project | None:
        """Return a project by id."""
        return self._projects.one(projects.c.organization == organization, projects.c.id == project)

    def project_by_name(self, organization: str, name: str) -> Project | None:
        """Return a project by name."""
        return self._projects.one(projects.c.organization == organization, projects.c.name == name)

    def projects(self, organization: str) -> tuple[Project, ...]:
        """Return the tenant's projects, oldest first."""
        statement = self._projects.select(projects.c.organization == organization).order_by(projects.c.id)
        return self._projects.all(statement)

    def add_binding(self, organization: str, user: str, binding: Binding) -> None:
        """Give a role; one that is held already stays."""
        row = {"organization": organization, "user": user, "role": binding.role, "scope": str(binding.scope)}
        insert_missing(self._connection, bindings, [row])

    def remove_binding(self, organization: str, user: str, binding: Binding) -> None:
        """Take a role away."""
        self._connection.execute(
            delete(bindings).where(
                bindings.c.organization == organization,
                bindings.c.user == user,
                bindings.c.role == binding.role,
                bindings.c.scope == str(binding.scope),
            )
        )

    def bindings(self, organization: str, user: str) -> tuple[Binding, ...]:
        """Return what a user holds in a tenant."""
        statement = select(bindings.c.role, bindings.c.scope).where(
            bindings.c.organization == organization, bindings.c.user == user
        )
        rows = self._connection.execute(statement.order_by(bindings.c.scope, bindings.c.role))
        return tuple(Binding(row.role, Scope.parse(row.scope)) for row in rows)

    def members(self, organization: str) -> tuple[Member, ...]:
        """Return everybody with a role in a tenant, oldest user first."""
        held = select(bindings.c.user).where(bindings.c.organization == organization)
        statement = self._users.select(users.c.id.in_(held)).order_by(users.c.id)
        known = self._users.all(statement)
        return tuple(Member(user, self.bindings(organization, user.id)) for user in known)

    def login_failures(self, email: str) -> tuple[int, int]:
        """Return how often signing in failed in a row, and when it was last tried."""
        statement = select(login_failures.c.failures, login_failures.c.last_ms).where(
            login_failures.c.email == email
        )
        row = self._connection.execute(statement).one_or_none()
        return (row.failures, row.last_ms) if row else (0, 0)

    def forget_login_failures(self, before_ms: int) -> None:
        """Drop what was last tried before a moment, so that guessed addresses do not pile up."""
        self._connection.execute(delete(login_failures).where(login_failures.c.last_ms < before_ms))

    def set_login_failures(self, email: str, failures: int, last_ms: int) -> None:
        """Keep the number of failures in a row; none removes the row."""
        self._connection.execute(delete(login_failures).where(login_failures.c.email == email))
        if failures:
            row = {"email": email, "failures": failures, "last_ms": last_ms}
            insert_missing(self._connection, login_failures, [row])
