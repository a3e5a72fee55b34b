"""Organizations and projects, and a project's review policy."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Organization, Project, ReviewPolicy
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict, Invalid, PreconditionFailed, PreconditionRequired
from control_plane.services.changes import Changes, absent

__all__ = ["Organizations", "Projects"]


class Organizations:
    """Use cases about the tenant itself."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def get(self, actor: Actor) -> Organization:
        """Return the organization that the actor acts in."""
        with self._changes.read(actor) as view:
            organization = view.unit.identity.organization(actor.organization)
        if organization is None:
            raise absent("organization", actor.organization)
        return organization


class Projects:
    """Use cases about projects."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(
        self, actor: Actor, *, name: str, title: str = "", policy: ReviewPolicy | None = None
    ) -> Project:
        """Make a project. With a policy of 0 approvals it is personal: its functions stay unreviewed."""
        check_name(name)
        if len(title) > 100 or (title and not title.isprintable()):
            raise Invalid("A title has at most 100 printable characters.", field="title")
        with self._changes.change(actor, "project.create") as change:
            change.require_organization(Permission.PROJECT_CREATE)
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
                path=(actor.organization,),
                created_ms=change.now_ms,
            )
            change.unit.identity.add_project(project)
            change.happened("project.created", project.id, {"name": name}, approvals=project.policy.approvals)
        return project

    def list(self, actor: Actor) -> tuple[Project, ...]:
        """Return the projects that the actor can see."""
        with self._changes.read(actor) as view:
            projects = view.unit.identity.projects(actor.organization)
            return tuple(one for one in projects if view.allows(Permission.PROJECT_READ, one.scope))

    def get(self, actor: Actor, project: str) -> Project:
        """Return a project by id or name."""
        with self._changes.read(actor) as view:
            return view.project(project, Permission.PROJECT_READ)

    def set_policy(self, actor: Actor, project: str, policy: ReviewPolicy, *, if_match: str) -> Project:
        """Change what the project asks for; releases check it again when they are made."""
        with self._changes.change(actor, "project.set_policy", f"project/{project}") as change:
            known = change.project(project, Permission.PROJECT_MANAGE)
            if not if_match:
                raise PreconditionRequired("Changing a project needs If-Match.", hint=f'Send "{known.etag}".')
            if if_match.strip('W/"') != known.etag:
                raise PreconditionFailed(f"The project is {known.etag} by now.", hint="Get it again.")
            changed = replace(known, policy=policy, revision=known.revision + 1)
            change.unit.identity.update_project(changed)
            data = {"approvals": policy.approvals, "approval_days": policy.approval_days}
            before = {"approvals": known.policy.approvals, "approval_days": known.policy.approval_days}
            change.happened("project.changed", known.id, data, before=before)
        return changed
