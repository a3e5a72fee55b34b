"""Which versions contain a package: what one asks when a package turns out to be bad."""

from __future__ import annotations

from control_plane.domain.identity import Actor
from control_plane.domain.packages import PackageUse, normal_name
from control_plane.services.changes import Changes, Page
from control_plane.services.functions import visible_projects

__all__ = ["Packages"]


class Packages:
    """Use cases about what versions are made of."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def versions(
        self, actor: Actor, name: str, *, version: str = "", after: str = "", limit: int = 50
    ) -> Page[PackageUse]:
        """Return the versions that contain a package, newest first, in the projects that the actor sees."""
        package = (normal_name(name), version)
        with self._changes.read(actor) as view:
            rows = view.unit.packages.uses(
                actor.organization, visible_projects(view), package, before=after, limit=limit + 1
            )
        return Page(rows[:limit], rows[limit - 1].version if len(rows) > limit else "")
