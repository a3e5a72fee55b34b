"""Whether this process can serve: its database answers."""

from __future__ import annotations

from control_plane.domain.identity import Actor
from control_plane.services.changes import Changes

__all__ = ["Health"]


class Health:
    """The question that a load balancer asks."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def check(self) -> None:
        """Return when the database answers. Raises Unavailable."""
        with self._changes.read(Actor.nobody()) as view:
            view.unit.identity.count_users()
