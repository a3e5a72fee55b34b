"""Functions: making, listing and taking them down."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import Draft, Function
from control_plane.domain.identity import Actor
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict, Invalid
from control_plane.services.changes import Changes, Page

__all__ = ["Functions"]


class Functions:
    """Use cases about functions as named things."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: Actor, *, project: str, name: str, title: str = "") -> Function:
        """Make a function with an empty draft. The name is its path, so one organization has it once."""
        check_name(name)
        if len(title) > 100 or (title and not title.isprintable()):
            raise Invalid("A title has at most 100 printable characters.", field="title")
        with self._changes.change(actor, "function.create") as change:
            place = change.project(project, Permission.FUNCTION_WRITE)
            if change.unit.functions.by_name(actor.organization, name):
                raise Conflict(
                    f"There is a function “{name}” already.", field="name", hint="Choose another name."
                )
            function = Function(
                id=change.new_id("function"),
                organization=actor.organization,
                project=place.id,
                name=name,
                title=title or name,
                created_by=actor.user,
                created_ms=change.now_ms,
            )
            draft = Draft(
                function=function.id,
                organization=actor.organization,
                project=place.id,
                revision=1,
                files=(),
                lock="",
                updated_by=actor.user,
                updated_ms=change.now_ms,
            )
            change.unit.functions.add(function, draft)
            change.happened("function.created", function.id, {"name": name, "project": place.id})
        return function

    def get(self, actor: Actor, function: str) -> Function:
        """Return a function by id or name."""
        with self._changes.read(actor) as view:
            return view.function(function, Permission.FUNCTION_READ)[0]

    def list(self, actor: Actor, *, project: str = "", after: str = "", limit: int = 50) -> Page[Function]:
        """Return the functions that the actor can see, of one project or of all."""
        with self._changes.read(actor) as view:
            if project:
                visible: tuple[str, ...] = (view.project(project, Permission.FUNCTION_READ).id,)
            else:
                projects = view.unit.identity.projects(actor.organization)
                allowed = (one for one in projects if view.allows(Permission.FUNCTION_READ, one.scope))
                visible = tuple(one.id for one in allowed)
            rows = view.unit.functions.list(actor.organization, visible, after, limit + 1)
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else "")

    def remove(self, actor: Actor, function: str) -> Function:
        """Take a function down: no call reaches it any more; its history stays."""
        with self._changes.change(actor, "function.remove", f"function/{function}") as change:
            known, _ = change.function(function, Permission.RELEASE_WRITE)
            if known.removed_ms:
                return known
            removed = replace(known, removed_ms=change.now_ms)
            change.unit.functions.update(removed)
            change.happened("function.removed", known.id, {"name": known.name, "project": known.project})
            change.bump()
        return removed
