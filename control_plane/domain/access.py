"""Who may do what where: permissions, roles as frozen sets, scopes and the decision.

Only rules live here. Rights are additive and the default is no: there is no
deny rule, so adding a binding never takes a right away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control_plane.errors import Invalid

__all__ = [
    "ROLES",
    "SYSTEM",
    "Binding",
    "Permission",
    "Restriction",
    "Role",
    "Scope",
    "decide",
    "roles_within",
]


class Permission(StrEnum):
    """One right. Routes and services name these, never roles."""

    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_CREATE = "organization:create"
    ORGANIZATION_MANAGE = "organization:manage"
    DEPARTMENT_READ = "department:read"
    DEPARTMENT_MANAGE = "department:manage"
    MEMBER_READ = "member:read"
    MEMBER_MANAGE = "member:manage"
    PROJECT_READ = "project:read"
    PROJECT_CREATE = "project:create"
    PROJECT_MANAGE = "project:manage"
    FUNCTION_READ = "function:read"
    FUNCTION_WRITE = "function:write"
    # At once and without a review: for what must stop now.
    FUNCTION_TAKEDOWN = "function:takedown"
    # Out of this Ingot as a file, with who approved it; and in from another.
    FUNCTION_EXPORT = "function:export"
    FUNCTION_IMPORT = "function:import"
    VERSION_FREEZE = "version:freeze"
    VERSION_RETIRE = "version:retire"
    REVIEW_READ = "review:read"
    REVIEW_SUBMIT = "review:submit"
    REVIEW_DECIDE = "review:decide"
    RELEASE_READ = "release:read"
    RELEASE_WRITE = "release:write"
    KEY_READ = "api_key:read"
    KEY_MANAGE = "api_key:manage"
    SETTING_READ = "setting:read"
    SETTING_WRITE = "setting:write"
    # Writing only: no permission reads a secret back.
    SECRET_WRITE = "secret:write"  # noqa: S105
    FILE_READ = "file:read"
    FILE_WRITE = "file:write"
    SHARE_READ = "share:read"
    SHARE_WRITE = "share:write"
    LOG_READ = "log:read"
    USAGE_READ = "usage:read"
    # Series and figures; in the system those of the machine too.
    MONITOR_READ = "monitor:read"
    EVENT_READ = "event:read"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """A named set of permissions, bound at a scope."""

    OWNER = "owner"
    ADMIN = "admin"
    AUTHOR = "author"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    BILLING = "billing"
    # Held in single projects only; everywhere else a guest sees what is shared.
    GUEST = "guest"


_P = Permission
_READ: Final = frozenset(
    {
        _P.ORGANIZATION_READ,
        _P.DEPARTMENT_READ,
        _P.PROJECT_READ,
        _P.FUNCTION_READ,
        _P.REVIEW_READ,
        _P.RELEASE_READ,
        _P.SETTING_READ,
        _P.SHARE_READ,
        _P.USAGE_READ,
        _P.MONITOR_READ,
        _P.EVENT_READ,
    }
)
# Files are inputs and outputs of calls, so whoever only looks at functions does not see them.
_FILES: Final = frozenset({_P.FILE_READ, _P.FILE_WRITE})
_MOVE: Final = frozenset({_P.FUNCTION_EXPORT, _P.FUNCTION_IMPORT})
_AUTHOR: Final = (
    _READ
    | _FILES
    | _MOVE
    | {
        _P.FUNCTION_WRITE,
        _P.VERSION_FREEZE,
        _P.REVIEW_SUBMIT,
        _P.KEY_READ,
        _P.LOG_READ,
        _P.SHARE_WRITE,
    }
)
_OPERATOR: Final = (
    _READ
    | _FILES
    | _MOVE
    | {
        _P.RELEASE_WRITE,
        _P.VERSION_RETIRE,
        _P.FUNCTION_TAKEDOWN,
        # A project's policy says which roles' approvals count; by default an operator's do not.
        _P.REVIEW_DECIDE,
        _P.KEY_READ,
        _P.KEY_MANAGE,
        _P.SETTING_WRITE,
        _P.SECRET_WRITE,
        _P.LOG_READ,
        _P.SHARE_WRITE,
    }
)

ROLES: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(Permission) - {_P.ORGANIZATION_CREATE},
    Role.AUTHOR: _AUTHOR,
    Role.REVIEWER: _READ | {_P.REVIEW_DECIDE},
    Role.OPERATOR: _OPERATOR,
    Role.VIEWER: _READ,
    Role.AUDITOR: _READ | {_P.AUDIT_READ, _P.MEMBER_READ, _P.LOG_READ},
    Role.BILLING: frozenset({_P.ORGANIZATION_READ, _P.DEPARTMENT_READ, _P.PROJECT_READ, _P.USAGE_READ}),
    Role.GUEST: frozenset({_P.PROJECT_READ, _P.FUNCTION_READ, _P.SHARE_READ}),
}


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """A place in the tree system / organization / (department) / project.

    `path` holds ids from the top; the empty path is the whole system.
    """

    path: tuple[str, ...] = ()

    def covers(self, other: Scope) -> bool:
        """Say whether `other` is this place or lies below it."""
        return other.path[: len(self.path)] == self.path

    def within(self, identifier: str) -> Scope:
        """Return the place `identifier` directly below this one."""
        return Scope((*self.path, identifier))

    def __str__(self) -> str:
        return "/" + "/".join(self.path)

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Return the scope that `str()` wrote."""
        if not text.startswith("/") or "//" in text:
            raise Invalid(
                f"“{text[:60]}” is not a scope.", field="scope", hint="Write /organization/project."
            )
        return cls(tuple(part for part in text.split("/") if part))


SYSTEM: Final = Scope()


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """A role that somebody holds at a scope and everywhere below it."""

    role: Role
    scope: Scope


@dataclass(frozen=True, slots=True)
class Restriction:
    """The part of its owner's rights that a token carries: some permissions, at one place and below."""

    permissions: tuple[Permission, ...]
    scope: Scope

    def lets(self, permission: Permission, scope: Scope) -> bool:
        """Say whether the right may be used there, if its owner holds it."""
        return permission in self.permissions and self.scope.covers(scope)


def decide(bindings: Iterable[Binding], permission: Permission, scope: Scope) -> bool:
    """Say whether any binding at the scope or above it carries the permission."""
    return any(permission in ROLES[binding.role] and binding.scope.covers(scope) for binding in bindings)


def roles_within(bindings: Iterable[Binding], role: Role, scope: Scope) -> bool:
    """Say whether these bindings already carry all of the role's rights at the scope.

    Nobody may give a right away that they do not hold.
    """
    held = tuple(bindings)
    return all(decide(held, permission, scope) for permission in ROLES[role])
