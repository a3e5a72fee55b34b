"""Where a role holds or a token reaches, as callers name it, turned into a scope that they may manage.

Only looking places up lives here; what is done there is decided by the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.access import SYSTEM, Permission, Scope
from control_plane.errors import Invalid
from control_plane.services.changes import View

__all__ = ["HERE", "At", "find_scope"]


@dataclass(frozen=True, slots=True)
class At:
    """A project or department by id or name, or the system; nothing means the whole organization."""

    project: str = ""
    department: str = ""
    system: bool = False


HERE: Final = At()


def find_scope(view: View, at: At, permission: Permission) -> Scope:
    """Return the scope of the named place when the actor holds the right there."""
    if sum((bool(at.project), bool(at.department), at.system)) > 1:
        raise Invalid(
            "A project, a department and the system are different places.",
            field="project",
            hint="Name one of them, or none for the whole organization.",
        )
    if at.system:
        view.require_system(permission)
        return SYSTEM
    if at.project:
        return view.project(at.project, permission).scope
    if at.department:
        return view.department(at.department, permission).scope
    view.require_organization(permission)
    return Scope((view.organization,))
