"""The permission decision for edges that must know it before they call a service."""

from __future__ import annotations

from control_plane.domain.access import Permission, Scope
from control_plane.domain.identity import Actor
from control_plane.services.changes import Changes

__all__ = ["Access"]


class Access:
    """Answers what an actor may do; services decide again inside their transaction."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def may(self, actor: Actor, permission: Permission, scope: Scope) -> bool:
        """Say whether the actor holds the right at this place."""
        return actor.allows(permission, scope)

    def require(self, actor: Actor, permission: Permission, project: str = "") -> None:
        """Refuse, and record it, when the right is missing in the organization or the named project.

        A project that the actor cannot see is NotFound, any other lack is Forbidden.
        """
        with self._changes.read(actor) as view:
            if project:
                view.project(project, permission)
            else:
                view.require_organization(permission)

    def permissions(self, actor: Actor, scope: Scope) -> tuple[Permission, ...]:
        """Return every right that the actor holds at this place, for the console."""
        return tuple(sorted(one for one in Permission if actor.allows(one, scope)))
