"""Rows of users, organizations, projects, roles and failed sign-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, func, or_, select, update

from control_plane.domain.access import Binding, Role, Scope
from control_plane.domain.identity import Member, Organization, Project, User
from control_plane.domain.list_filters import MemberFilter
from control_plane.store.department_tables import disabled_members
from control_plane.store.identity_tables import bindings, login_failures, organizations, projects, users
from control_plane.store.prepared import find_rows
from control_plane.store.rows import Rows, find_among, insert_missing, listed

__all__ = ["IdentityRows"]

_EVERYBODY: Final = MemberFilter()
# Every request asks this, so it is built once.
_RIGHTS: Final = select(bindings.c.organization, bindings.c.role, bindings.c.scope).where(
    bindings.c.organization.in_((bindparam("organization"), "")),
    bindings.c.user == bindparam("user"),
    ~select(disabled_members.c.user)
    .where(
        disabled_members.c.organization == bindparam("organization"),
        disabled_members.c.user == bindparam("user"),
        disabled_members.c.disabled_ms > 0,
    )
    .exists(),
)


@cache
def _roles_of(count: int) -> Select[Any]:
    own = bindings.c.organization == bindparam("organization"), bindings.c.user.in_(listed(count))
    roles = select(bindings.c.user, bindings.c.role, bindings.c.scope).where(*own)
    return roles.order_by(bindings.c.scope, bindings.c.role)


@cache
def _disabled(count: int) -> Select[Any]:
    off = disabled_members.c
    own = off.organization == bindparam("organization"), off.user.in_(listed(count))
    return select(off.user, off.disabled_ms).where(*own)


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
        return self._users.one(id=user)

    def user_by_email(self, email: str) -> User | None:
        """Return a user by address in lower case."""
        return self._users.one(email=email)

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
        return self._organizations.one(id=organization)

    def update_organization(self, organization: Organization) -> None:
        """Write a tenant back."""
        self._organizations.update(organization, "id")

    def organization_by_name(self, name: str) -> Organization | None:
        """Return a tenant by name."""
        return self._organizations.one(name=name)

    def organizations(self, after: str, limit: int) -> tuple[Organization, ...]:
        """Return tenants behind an id, oldest first, for those who hold a role in the system."""
        statement = self._organizations.select(organizations.c.id > after)
        return self._organizations.all(statement.order_by(organizations.c.id).limit(limit))

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
        return self._projects.one(organization=organization, id=project)

    def project_by_name(self, organization: str, name: str) -> Project | None:
        """Return a project by name."""
        return self._projects.one(organization=organization, name=name)

    def projects(self, organization: str) -> tuple[Project, ...]:
        """Return the tenant's projects, oldest first."""
        return self._projects.every("id", organization=organization)

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

    def rights(self, organization: str, user: str) -> tuple[Binding, ...]:
        """Return what counts of a user in a tenant now: with roles in the system, nothing when disabled."""
        rows = find_rows(self._connection, _RIGHTS, {"organization": organization, "user": user})
        # The tenant's own first, then the system's, whose organization is empty.
        held = sorted((not of, scope, role) for of, role, scope in rows)
        return tuple(Binding(role, Scope.parse(scope)) for _, scope, role in held)

    def members(
        self,
        organization: str,
        after: str = "",
        limit: int | None = None,
        wanted: MemberFilter = _EVERYBODY,
    ) -> tuple[Member, ...]:
        """Return those with a role in a tenant behind a user's id that fit, oldest user first."""
        held = select(bindings.c.user).where(bindings.c.organization == organization)
        if wanted.role is not None:
            held = held.where(bindings.c.role == wanted.role)
        statement = self._users.select(users.c.id.in_(held), users.c.id > after)
        if wanted.text:
            columns = (users.c.email, users.c.name)
            statement = statement.where(
                or_(*(one.icontains(wanted.text, autoescape=True) for one in columns))
            )
        if wanted.disabled is not None:
            idle = select(disabled_members.c.user).where(disabled_members.c.organization == organization)
            statement = statement.where(users.c.id.in_(idle) if wanted.disabled else users.c.id.not_in(idle))
        known = self._users.all(statement.order_by(users.c.id).limit(limit))
        of = [user.id for user in known]
        roles, off = self._bindings_of(organization, of), self._disabled_of(organization, of)
        return tuple(Member(user, tuple(roles.get(user.id, ())), off.get(user.id, 0)) for user in known)

    def member(self, organization: str, user: str) -> Member | None:
        """Return a user with the roles held in a tenant; None without any."""
        known = self.user(user)
        member = self._member(organization, known) if known else None
        return member if member and member.bindings else None

    def holders(self, organization: str, role: Role, scope: Scope) -> tuple[str, ...]:
        """Return the users who hold a role at a place and whom nothing keeps from using it."""
        off = select(disabled_members.c.user).where(disabled_members.c.organization == organization)
        statement = (
            select(bindings.c.user)
            .join(users, users.c.id == bindings.c.user)
            .where(
                bindings.c.organization == organization,
                bindings.c.role == role,
                bindings.c.scope == str(scope),
                users.c.disabled.is_(False),
                bindings.c.user.not_in(off),
            )
        )
        return tuple(self._connection.execute(statement.order_by(bindings.c.user)).scalars())

    def disabled_ms(self, organization: str, user: str) -> int:
        """Return since when a tenant lets a member do nothing; 0 while it does."""
        statement = select(disabled_members.c.disabled_ms).where(
            disabled_members.c.organization == organization, disabled_members.c.user == user
        )
        return int(self._connection.execute(statement).scalar() or 0)

    def disable(self, organization: str, user: str, now_ms: int, by: str) -> None:
        """Let a member do nothing in a tenant; the first moment stays."""
        row = {"organization": organization, "user": user, "disabled_ms": now_ms, "disabled_by": by}
        insert_missing(self._connection, disabled_members, [row])

    def enable(self, organization: str, user: str) -> None:
        """Let a member do again what their roles say."""
        self._connection.execute(
            delete(disabled_members).where(
                disabled_members.c.organization == organization, disabled_members.c.user == user
            )
        )

    def _bindings_of(self, organization: str, of: Collection[str]) -> dict[str, list[Binding]]:
        held: dict[str, list[Binding]] = defaultdict(list)
        for user, role, scope in find_among(self._connection, _roles_of, of, organization=organization):
            held[user].append(Binding(role, Scope.parse(scope)))
        return held

    def _disabled_of(self, organization: str, of: Collection[str]) -> dict[str, int]:
        rows = find_among(self._connection, _disabled, of, organization=organization)
        return {user: int(disabled_ms) for user, disabled_ms in rows}

    def _member(self, organization: str, user: User) -> Member:
        return Member(user, self.bindings(organization, user.id), self.disabled_ms(organization, user.id))

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
