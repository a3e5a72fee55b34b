"""Why somebody may do something somewhere, or what is missing.

It explains `access.decide` and must never disagree with it; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.domain.access import ROLES, Binding, Permission, Role, Scope

__all__ = ["Explanation", "Reason", "explain"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One binding, and what it contributes to the answer."""

    binding: Binding
    # The role has the permission.
    carries: bool
    # It is bound at the place or above it.
    reaches: bool

    @property
    def allows(self) -> bool:
        """Say whether this binding alone is enough."""
        return self.carries and self.reaches


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer with every binding that was looked at."""

    permission: Permission
    scope: Scope
    reasons: tuple[Reason, ...]
    # Roles that would allow it when they were bound there; empty when it is allowed.
    lacking: tuple[Role, ...]

    @property
    def allowed(self) -> bool:
        """Say whether any binding is enough."""
        return any(reason.allows for reason in self.reasons)


def explain(bindings: Iterable[Binding], permission: Permission, scope: Scope) -> Explanation:
    """Return why these bindings allow the permission there, or which roles are missing."""
    reasons = tuple(
        Reason(one, permission in ROLES[one.role], one.scope.covers(scope)) for one in sorted(bindings)
    )
    lacking: tuple[Role, ...] = ()
    if not any(reason.allows for reason in reasons):
        # The smallest role first: nobody should ask for more than is needed.
        fitting = (role for role in Role if permission in ROLES[role])
        lacking = tuple(sorted(fitting, key=lambda role: (len(ROLES[role]), role)))
    return Explanation(permission, scope, reasons, lacking)
