"""People and tenants: users, organizations, departments, projects and who is acting.

Credentials are in `credentials`, rights in `access`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control_plane.domain.access import (
    ROLES,
    Binding,
    Permission,
    Restriction,
    Role,
    Scope,
    decide,
    roles_within,
)
from control_plane.domain.review_policies import ReviewPolicy
from control_plane.errors import Invalid

__all__ = [
    "PLATFORM",
    "Actor",
    "Department",
    "Member",
    "Method",
    "Organization",
    "Project",
    "ReviewPolicy",
    "User",
    "check_email",
]

# The tenant of what belongs to no organization: failed sign-ins, the first owner's claim.
PLATFORM: Final = "platform"

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class Method(StrEnum):
    """How an actor proved who they are."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105
    SYSTEM = "system"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class User:
    """A person or robot. Addresses are compared in lower case."""

    id: str
    email: str
    name: str
    # Who vouched for the address: "owner-link", "invitation:<user id>" or "" when nobody did.
    verified_by: str
    # A one-time password must be changed before anything else.
    must_change_password: bool
    created_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant; nothing of it can be seen or changed from another."""

    id: str
    name: str
    title: str
    created_ms: int
    revision: int = 1

    @property
    def scope(self) -> Scope:
        """The place of its bindings."""
        return Scope((self.id,))

    @property
    def etag(self) -> str:
        """The strong validator of its editable part."""
        return f"o{self.revision}"


@dataclass(frozen=True, slots=True)
class Department:
    """Groups projects below an organization or another department; a place for bindings."""

    id: str
    organization: str
    name: str
    title: str
    # Parent ids from the organization down.
    path: tuple[str, ...]
    created_ms: int
    revision: int = 1

    @property
    def scope(self) -> Scope:
        """The place of its bindings."""
        return Scope((*self.path, self.id))

    @property
    def parent(self) -> str:
        """The department that it lies in; empty directly below the organization."""
        return self.path[-1] if len(self.path) > 1 else ""

    @property
    def etag(self) -> str:
        """The strong validator of its editable part."""
        return f"d{self.revision}"


@dataclass(frozen=True, slots=True)
class Project:
    """Groups functions, keys and settings of one organization."""

    id: str
    organization: str
    name: str
    title: str
    policy: ReviewPolicy
    # Parent ids from the organization down, so that departments fit in between.
    path: tuple[str, ...]
    created_ms: int
    revision: int = 1

    @property
    def scope(self) -> Scope:
        """The place of its bindings."""
        return Scope((*self.path, self.id))

    @property
    def department(self) -> str:
        """The department that it lies in; empty directly below the organization."""
        return self.path[-1] if len(self.path) > 1 else ""

    @property
    def etag(self) -> str:
        """The strong validator of its editable part."""
        return f"p{self.revision}"


@dataclass(frozen=True, slots=True)
class Member:
    """A user in an organization with the roles held there."""

    user: User
    bindings: tuple[Binding, ...]
    # Since when the organization lets them do nothing; 0 while it does.
    disabled_ms: int = 0


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something now, in which tenant, and how they proved it."""

    user: str
    name: str
    email: str
    # The organization acted in; every query is limited to it.
    organization: str
    bindings: tuple[Binding, ...]
    method: Method
    # Id of the session or token; empty for the system.
    credential: str = ""
    request: str = ""
    # `traceparent` of the request, while requests are traced.
    trace: str = ""
    address: str = ""
    must_change_password: bool = False
    # What the token carries of these rights; None carries all.
    restriction: Restriction | None = None

    def allows(self, permission: Permission, scope: Scope) -> bool:
        """Say whether the actor holds the right there and came with a credential that carries it."""
        carried = self.restriction is None or self.restriction.lets(permission, scope)
        return carried and decide(self.bindings, permission, scope)

    def holds_somewhere(self, permission: Permission) -> bool:
        """Say whether there may be a place where the actor holds the right."""
        carried = self.restriction is None or permission in self.restriction.permissions
        return carried and any(permission in ROLES[binding.role] for binding in self.bindings)

    def may_grant(self, role: Role, scope: Scope) -> bool:
        """Say whether the actor holds, and carries, every right of the role there."""
        return roles_within(self.bindings, role, scope) and all(
            self.allows(permission, scope) for permission in ROLES[role]
        )

    @classmethod
    def system(cls, organization: str) -> Actor:
        """Ingot itself: the reconciler, the relay, the guards. Holds no binding."""
        return cls(
            user="system",
            name="Ingot",
            email="",
            organization=organization,
            bindings=(),
            method=Method.SYSTEM,
        )

    @classmethod
    def nobody(cls, request: str = "", address: str = "") -> Actor:
        """Somebody who has not signed in."""
        return cls(
            user="",
            name="",
            email="",
            organization=PLATFORM,
            bindings=(),
            method=Method.NOBODY,
            request=request,
            address=address,
        )


def check_email(email: str) -> str:
    """Return the address in the form that is stored and compared."""
    plain = email.strip().lower()
    if not _EMAIL.fullmatch(plain):
        raise Invalid(f"“{email[:80]}” is not an e-mail address.", field="email", hint="Write name@domain.")
    return plain
