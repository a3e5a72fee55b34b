"""Sharing: an organization offers versions of its functions to a project, to itself or to everyone."""

from __future__ import annotations

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.sharing import EVERYONE, Audience, Share, ShareWish, UnreviewedShare, share_words
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, Invalid
from control_plane.services.approvals import judge
from control_plane.services.changes import Change, Changes, Page, View, absent
from control_plane.services.functions import visible_projects
from control_plane.services.versions import find_version

__all__ = ["Sharing"]


class Sharing:
    """Use cases about one's own shares. What others see of them is the market's business."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def create(
        self, actor: Actor, function: str, wish: ShareWish, *, audience: Audience, project: str = ""
    ) -> Share:
        """Offer a version. `project` names who sees it when the audience is a project.

        Raises UnreviewedShare for a version without approvals, unless the wish says so.
        """
        with self._changes.change(actor, "share.create", f"function/{function}") as change:
            known, place = change.function(function, Permission.SHARE_WRITE)
            reach = _reach(change, place, audience, project)
            if change.unit.shares.same(actor.organization, known.id, wish.kind, reach):
                raise Conflict(
                    f"{known.name} is shared so already.", hint="Change that share to offer another version."
                )
            share = _offer(change, known, place, wish, reach)
            _put(change, share, new=True)
        return share

    def change(self, actor: Actor, share: str, wish: ShareWish, *, if_match: str) -> Share:
        """Offer another version, or describe it differently; whoever installed it sees what is newer."""
        with self._changes.change(actor, "share.change", f"share/{share}") as change:
            present = _own(change, share, Permission.SHARE_WRITE)
            present.expect(if_match)
            if wish.kind is not present.kind:
                raise Invalid(
                    "A share stays of its kind.", field="kind", hint="Share the function once more."
                )
            known, place = change.function(present.function, Permission.SHARE_WRITE)
            _require_reach(change, present.audience)
            changed = present.changed(_offer(change, known, place, wish, present.reach))
            _put(change, changed, new=False)
        return changed

    def get(self, actor: Actor, share: str) -> Share:
        """Return one of the organization's own shares."""
        with self._changes.read(actor) as view:
            return _own(view, share, Permission.SHARE_READ)

    def list(self, actor: Actor, *, after: str = "", limit: int = 50) -> Page[Share]:
        """Return the organization's own shares of functions that the actor sees, oldest first."""
        with self._changes.read(actor) as view:
            rows = view.unit.shares.own(actor.organization, visible_projects(view), after, limit + 1)
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else "")

    def remove(self, actor: Actor, share: str, *, if_match: str) -> None:
        """Let nobody install it any more; what was installed stays."""
        with self._changes.change(actor, "share.remove", f"share/{share}") as change:
            present = _own(change, share, Permission.SHARE_WRITE)
            present.expect(if_match)
            change.unit.shares.delete(actor.organization, present.id)
            change.happened("share.removed", present.id, {"function": present.function}, reach=present.reach)


def _own(view: View, share: str, permission: Permission) -> Share:
    found = view.unit.shares.get(view.organization, share)
    project = view.unit.identity.project(view.organization, found.project) if found else None
    if found is None or project is None or not view.allows(Permission.PROJECT_READ, project.scope):
        raise absent("share", share)
    view.require(permission, project.scope)
    return found


def _reach(change: Change, place: Project, audience: Audience, project: str) -> str:
    """Return who will see it, when the actor may show it to them."""
    _require_reach(change, audience)
    if audience is Audience.EVERYONE:
        return EVERYONE
    if audience is Audience.ORGANIZATION:
        return change.organization
    return change.project(project, Permission.PROJECT_READ).id if project else place.id


def _require_reach(change: Change, audience: Audience) -> None:
    """Refuse a reach beyond what the actor answers for: the organization, or every tenant."""
    if audience is not Audience.PROJECT:
        change.require_organization(Permission.SHARE_WRITE)
    if audience is Audience.EVERYONE:
        change.require_organization(Permission.ORGANIZATION_MANAGE)


def _offer(change: Change, function: Function, place: Project, wish: ShareWish, reach: str) -> Share:
    version = find_version(change, function, wish.version)
    if function.removed_ms or version.state is not VersionState.FROZEN or not version.intact():
        raise Conflict(
            f"Version {version.number} of {function.name} is not in use any more.",
            hint="Share a version that is neither deprecated nor retired.",
        )
    return Share(
        id=change.new_id("share"),
        organization=change.organization,
        project=place.id,
        function=function.id,
        version=version.id,
        number=version.number,
        digest=version.digest,
        kind=wish.kind,
        name=function.name,
        summary=wish.summary or version.declaration.description[:200],
        tags=wish.tags,
        reach=reach,
        reviewed=_reviewed(change, version, place, wish),
        shared_by=change.actor.user,
        created_ms=change.now_ms,
        updated_ms=change.now_ms,
    )


def _reviewed(change: Change, version: Version, place: Project, wish: ShareWish) -> bool:
    verdict = judge(change, version, place)
    if verdict.refusal is None and not verdict.unreviewed:
        return True
    if place.policy.approvals:
        raise UnreviewedShare(
            f"Version {version.number} has not the approvals that its project asks for.",
            field="version",
            hint="Have it approved, then share it.",
        )
    if not wish.unreviewed:
        raise UnreviewedShare(
            f"Version {version.number} has not the approvals of a review.",
            field="unreviewed",
            hint="Have it approved, or say that it is unreviewed; it is then marked as such everywhere.",
        )
    return False


def _put(change: Change, share: Share, *, new: bool) -> None:
    owner = change.unit.identity.organization(change.organization)
    change.unit.shares.put(share, share_words(share, owner.name if owner else ""), new=new)
    data = {
        "function": share.function,
        "number": share.number,
        "digest": share.digest,
        "audience": share.audience,
    }
    event = "share.created" if new else "share.changed"
    change.happened(event, share.id, data, reach=share.reach, reviewed=share.reviewed)
