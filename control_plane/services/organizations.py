"""Organizations: making them, which needs the whole system, and their titles."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.access import SYSTEM, Binding, Permission, Role
from control_plane.domain.identity import Actor, Organization, Project, ReviewPolicy
from control_plane.domain.ids import check_name
from control_plane.errors import Conflict
from control_plane.services.changes import Change, Changes, Page, absent
from control_plane.services.editing import check_match, check_title

__all__ = ["Organizations", "found"]


class Organizations:
    """Use cases about the tenant itself."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(self, actor: Actor, *, name: str, title: str = "") -> Organization:
        """Make a tenant with its project `main`; whoever makes it is its first owner."""
        check_name(name)
        check_title(title)
        with self._changes.change(actor, "organization.create") as change:
            change.refresh_rights()
            change.require_system(Permission.ORGANIZATION_CREATE)
            if change.unit.identity.organization_by_name(name):
                raise Conflict(
                    f"There is an organization “{name}” already.", field="name", hint="Choose another name."
                )
            tenant = Organization(change.new_id("organization"), name, title or name, change.now_ms)
            found(change, tenant, change.actor)
        return tenant

    def get(self, actor: Actor) -> Organization:
        """Return the organization that the actor acts in."""
        with self._changes.read(actor) as view:
            organization = view.unit.identity.organization(actor.organization)
        if organization is None:
            raise absent("organization", actor.organization)
        return organization

    def named(self, actor: Actor, organization: str) -> Organization:
        """Return an organization by id or name, or the actor's own for `current`."""
        with self._changes.read(actor) as view:
            return view.named_organization(organization, Permission.ORGANIZATION_READ)

    def list(self, actor: Actor, *, after: str = "", limit: int = 50) -> Page[Organization]:
        """Return the actor's organizations; all of them to whom the system is open.

        A token with a part of the rights shows only the organization that it is for.
        """
        with self._changes.read(actor) as view:
            rows = view.unit.identity
            if view.allows(Permission.ORGANIZATION_READ, SYSTEM):
                known = rows.organizations(after, limit + 1)
            else:
                known = tuple(
                    one
                    for one in rows.organizations_of(actor.user)
                    if one.id > after and (actor.restriction is None or one.id == actor.organization)
                )
        return Page(known[:limit], known[limit - 1].id if len(known) > limit else "")

    def change(self, actor: Actor, organization: str, *, title: str, if_match: str) -> Organization:
        """Give an organization another title. Its name is part of its functions' addresses and stays."""
        check_title(title)
        known = self._manageable(actor, organization)
        there = replace(actor, organization=known.id)
        with self._changes.change(there, "organization.change", f"organization/{known.id}") as change:
            known = change.named_organization("current", Permission.ORGANIZATION_MANAGE)
            check_match(known.etag, if_match, "organization")
            changed = replace(known, title=title or known.name, revision=known.revision + 1)
            change.unit.identity.update_organization(changed)
            change.happened("organization.changed", known.id, {"title": changed.title}, before=known.title)
        return changed

    def _manageable(self, actor: Actor, organization: str) -> Organization:
        with self._changes.read(actor) as view:
            return view.named_organization(organization, Permission.ORGANIZATION_MANAGE)


def found(change: Change, tenant: Organization, founder: Actor) -> Project:
    """Insert a tenant, its first owner and its project `main`; the tenant's audit chain begins with it."""
    change.unit.identity.add_organization(tenant)
    inside = change.acting_as(replace(founder, organization=tenant.id))
    inside.unit.identity.add_binding(tenant.id, founder.user, Binding(Role.OWNER, tenant.scope))
    project = Project(
        id=change.new_id("project"),
        organization=tenant.id,
        name="main",
        title="Main",
        policy=ReviewPolicy(),
        path=(tenant.id,),
        created_ms=change.now_ms,
    )
    inside.unit.identity.add_project(project)
    inside.happened("organization.created", tenant.id, {"name": tenant.name})
    inside.happened("project.created", project.id, {"name": project.name})
    change.wakes = True
    return project
