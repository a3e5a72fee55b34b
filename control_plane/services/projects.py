"""Projects: making and moving them, and their review policy."""

from __future__ import annotations

from dataclasses import asdict, replace

from control_plane.domain.access import Permission, Scope
from control_plane.domain.identity import Actor, Project, ReviewPolicy
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict
from control_plane.services.changes import Change, Changes, View
from control_plane.services.editing import check_match, check_title

__all__ = ["Projects"]


class Projects:
    """Use cases about projects."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        title: str = "",
        policy: ReviewPolicy | None = None,
        department: str = "",
    ) -> Project:
        """Make a project, in a department if one is named.

        With a policy of 0 approvals it is personal: its functions stay unreviewed.
        """
        check_name(name)
        check_title(title)
        with self._changes.change(actor, "project.create") as change:
            place = _place_for_project(change, department)
            if change.unit.identity.project_by_name(actor.organization, name):
                raise Conflict(
                    f"There is a project “{name}” already.", field="name", hint="Choose another name."
                )
            project = Project(
                id=change.new_id("project"),
                organization=actor.organization,
                name=name,
                title=title or name,
                policy=policy or ReviewPolicy(),
                path=place.path,
                created_ms=change.now_ms,
            )
            change.unit.identity.add_project(project)
            change.happened("project.created", project.id, {"name": name}, policy=asdict(project.policy))
        return project

    def list(self, actor: Actor, *, department: str = "") -> tuple[Project, ...]:
        """Return the projects that the actor can see, of one department and those below it or of all."""
        with self._changes.read(actor) as view:
            place = Scope((actor.organization,))
            if department:
                place = view.department(department, Permission.PROJECT_READ).scope
            return tuple(
                one
                for one in view.unit.identity.projects(actor.organization)
                if place.covers(one.scope) and view.allows(Permission.PROJECT_READ, one.scope)
            )

    def get(self, actor: Actor, project: str) -> Project:
        """Return a project by id or name."""
        with self._changes.read(actor) as view:
            return view.project(project, Permission.PROJECT_READ)

    def change(
        self, actor: Actor, project: str, *, title: str | None, department: str | None, if_match: str
    ) -> Project:
        """Give a project another title, or move it; an empty department means the organization itself.

        A move changes who may do what in the project, so it needs the right to
        manage its members, and the right to make projects where it goes.
        """
        with self._changes.change(actor, "project.change", f"project/{project}") as change:
            change.refresh_rights()
            known = change.project(project, Permission.PROJECT_MANAGE)
            check_match(known.etag, if_match, "project")
            changed = known
            if title is not None:
                check_title(title)
                changed = replace(changed, title=title or known.name)
            if department is not None:
                changed = replace(changed, path=_place_for_project(change, department).path)
            if changed == known:
                return known
            changed = replace(changed, revision=known.revision + 1)
            change.unit.identity.update_project(changed)
            if changed.path != known.path:
                change.require(Permission.MEMBER_MANAGE, known.scope)
                _follow(change, known.scope, changed.scope)
                data = {"department": changed.department}
                change.happened("project.moved", known.id, data, before=str(known.scope))
            else:
                change.record(f"project/{known.id}", {"title": changed.title, "before": known.title})
        return changed

    def set_policy(self, actor: Actor, project: str, policy: ReviewPolicy, *, if_match: str) -> Project:
        """Change what the project asks for; releases check it again when they are made.

        Open reviews keep the policy that they were submitted under: the
        stricter of both decides.
        """
        with self._changes.change(actor, "project.set_policy", f"project/{project}") as change:
            change.refresh_rights()
            known = change.project(project, Permission.PROJECT_MANAGE)
            check_match(known.etag, if_match, "project")
            changed = replace(known, policy=policy, revision=known.revision + 1)
            change.unit.identity.update_project(changed)
            data = {"approvals": policy.approvals, "approval_days": policy.approval_days}
            # The whole of both, so that the audit shows what was weakened.
            change.happened(
                "project.changed", known.id, data, before=asdict(known.policy), after=asdict(policy)
            )
        return changed


def _place_for_project(view: View, department: str) -> Scope:
    """Return where a new or moved project lies, when the actor may make projects there."""
    if department:
        return view.department(department, Permission.PROJECT_CREATE).scope
    view.require_organization(Permission.PROJECT_CREATE)
    return Scope((view.organization,))


def _follow(change: Change, before: Scope, after: Scope) -> None:
    """Let what is bound to a project's place move with it: roles, and tokens for this place alone."""
    change.unit.departments.move_bindings(change.organization, before, after)
    for token in change.unit.credentials.restricted(change.organization):
        if token.restriction is not None and token.restriction.scope == before:
            moved = replace(token.restriction, scope=after)
            change.unit.credentials.update(replace(token, restriction=moved))
