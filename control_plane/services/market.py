"""The market: finding what is shared with one, and installing it as a function of one's own.

Everything of another tenant is reached through a share and shows only what
stands in `Offer`. Installing copies; nothing leads back into the owner's organization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control_plane.domain.access import Permission
from control_plane.domain.functions import Draft, Function
from control_plane.domain.identity import Actor, Project
from control_plane.domain.sharing import (
    Installation,
    Share,
    ShareKind,
    UnreviewedShare,
    reaches,
    search_terms,
)
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict, PreconditionFailed
from control_plane.ports import Blobs, Builder
from control_plane.services.changes import Change, Changes, Page, View, absent
from control_plane.services.drafts import read_files, save_draft
from control_plane.services.functions import make_function, visible_projects

__all__ = ["Installed", "Market", "Offer", "Offered", "Search"]


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for: beginnings of words, whole tags."""

    text: str = ""
    tags: tuple[str, ...] = ()
    kind: ShareKind | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A share with the name of the organization that offers it."""

    share: Share
    owner: str
    owner_title: str


@dataclass(frozen=True, slots=True)
class Offer:
    """All that is shown of a share before it is installed."""

    offered: Offered
    version: Version
    readme: str
    # name -> version of the locked packages
    packages: Mapping[str, str]
    # Why it cannot be installed any more; empty when it can.
    withdrawn: str


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a function came from, and what its share offers now when that is newer."""

    installation: Installation
    # The share is still there.
    shared: bool
    newer: Share | None


class Market:
    """Use cases about what others share."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder

    def search(self, actor: Actor, search: Search, *, after: str = "", limit: int = 50) -> Page[Offered]:
        """Return the shares that the actor may install and that have every word and tag, oldest first."""
        with self._changes.read(actor) as view:
            rows = view.unit.shares.search(
                _reaches(view),
                search_terms(search.text),
                search.tags,
                kind=search.kind,
                after=after,
                limit=limit + 1,
            )
            items = tuple(_offered(view, share) for share in rows[:limit])
        return Page(items, rows[limit - 1].id if len(rows) > limit else "")

    def get(self, actor: Actor, share: str) -> Offer:
        """Return what a share offers."""
        with self._changes.read(actor) as view:
            found = _visible(view, share)
            version, withdrawn = _version(view, found)
            offered = _offered(view, found)
        readme = next((file for file in version.files if file.path == "README.md"), None)
        text = self._blobs.get(readme.digest).decode(errors="replace") if readme else ""
        return Offer(offered, version, text, self._builder.packages(version.lock), withdrawn)

    def files(self, actor: Actor, share: str) -> tuple[Share, dict[str, bytes]]:
        """Return a share and its source, path -> bytes."""
        with self._changes.read(actor) as view:
            found = _visible(view, share)
            version = _installable(view, found)
        return found, read_files(self._blobs, version.files)

    def install(
        self, actor: Actor, share: str, *, project: str, name: str = "", digest: str = ""
    ) -> Function:
        """Make a function whose draft is a copy of the shared source and lock, all of it or nothing.

        With `digest` only exactly what was seen is installed.
        """
        with self._changes.change(actor, "function.install", f"share/{share}") as change:
            place = change.project(project, Permission.FUNCTION_WRITE)
            found = _visible(change, share)
            _require_reviewed(found, place)
            version = self._complete(change, found, digest)
            function = make_function(change, place, name or found.name)
            draft = change.unit.functions.draft(change.organization, function.id)
            installation = _record(change, found, function)
            change.unit.shares.add_installation(installation)
            _copy(change, draft, version, installation)
        return function

    def update(self, actor: Actor, function: str, *, if_match: str, digest: str = "") -> Draft:
        """Replace an installed function's draft by what its share offers now, under the draft's ETag."""
        with self._changes.change(actor, "function.update", f"function/{function}") as change:
            known, place = change.function(function, Permission.FUNCTION_WRITE)
            installation = change.unit.shares.installation(change.organization, known.id)
            if installation is None:
                raise absent("installation", function)
            draft = change.unit.functions.draft(change.organization, known.id)
            draft.expect(if_match)
            found = _visible(change, installation.share)
            if installation.update(found) is None:
                raise Conflict("The share offers nothing newer.", hint="Look again when it does.")
            _require_reviewed(found, place)
            version = self._complete(change, found, digest)
            newer = _record(change, found, known)
            change.unit.shares.update_installation(newer)
            return _copy(change, draft, version, newer)

    def installed(self, actor: Actor, function: str) -> Installed:
        """Return where a function came from. Raises NotFound when nobody installed it."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            installation = view.unit.shares.installation(actor.organization, known.id)
            if installation is None:
                raise absent("installation", function)
            return _installed(view, (installation,))[0]

    def installations(self, actor: Actor, *, after: str = "", limit: int = 50) -> Page[Installed]:
        """Return what was installed into the projects that the actor sees, and what has newer versions."""
        with self._changes.read(actor) as view:
            rows = view.unit.shares.installations(
                actor.organization, visible_projects(view), after, limit + 1
            )
            items = _installed(view, rows[:limit])
        return Page(items, rows[limit - 1].function if len(rows) > limit else "")

    def _complete(self, view: View, share: Share, digest: str) -> Version:
        """Return the shared version when it is what was seen and every byte of it is there."""
        if digest and digest != share.digest:
            raise PreconditionFailed(
                f"The share offers {share.digest} by now.", field="digest", hint="Look at it again."
            )
        version = _installable(view, share)
        if not all(self._blobs.has(file.digest) for file in version.files):
            raise Conflict("A file of the shared version is damaged.", hint="Tell its owner.")
        return version


def _reaches(view: View) -> tuple[str, ...]:
    return reaches(view.organization, visible_projects(view))


def _visible(view: View, share: str) -> Share:
    found = view.unit.shares.visible(_reaches(view), share)
    if found is None:
        raise absent("share", share)
    return found


def _offered(view: View, share: Share) -> Offered:
    owner = view.unit.identity.organization(share.organization)
    return Offered(share, owner.name if owner else "", owner.title if owner else "")


def _version(view: View, share: Share) -> tuple[Version, str]:
    """Return the shared version, and why it cannot be installed any more."""
    # Its owner has opened this one version to whoever sees the share, and the actor does.
    view.unit.reach(share.organization)
    version = view.unit.versions.get(share.organization, share.version)
    function = view.unit.functions.get(share.organization, share.function)
    if version is None or function is None:
        raise absent("share", share.id)
    if version.digest != share.digest or not version.intact():
        return version, "Its manifest does not hash to its digest."
    if version.state is VersionState.RETIRED:
        return version, "Its owner has retired this version."
    return version, "Its owner has taken the function down." if function.removed_ms else ""


def _installable(view: View, share: Share) -> Version:
    version, withdrawn = _version(view, share)
    if withdrawn:
        raise Conflict(f"{share.name} cannot be installed: {withdrawn}", hint="Look for another one.")
    return version


def _require_reviewed(share: Share, place: Project) -> None:
    """Keep what nobody approved out of projects that ask for approvals."""
    if place.policy.approvals and not share.reviewed:
        raise UnreviewedShare(
            f"Nobody approved version {share.number} of {share.name}, and {place.name} asks for approvals.",
            field="project",
            hint="Take its source as the beginning of a function of your own, and have that reviewed.",
        )


def _record(change: Change, share: Share, function: Function) -> Installation:
    owner = change.unit.identity.organization(share.organization)
    return Installation(
        function=function.id,
        organization=change.organization,
        project=function.project,
        share=share.id,
        source_organization=owner.name if owner else "",
        source_name=share.name,
        number=share.number,
        digest=share.digest,
        installed_by=change.actor.user,
        installed_ms=change.now_ms,
    )


def _copy(change: Change, draft: Draft, version: Version, source: Installation) -> Draft:
    """Put the version's files and lock into the draft; whoever does so counts as their author."""
    copied = replace(draft.with_files(version.files), lock=version.lock)
    origin = f"{source.source_organization}/{source.source_name}@{source.number}"
    saved = save_draft(change, copied, f"install {origin}")
    data = {"share": source.share, "number": source.number, "digest": source.digest}
    change.happened("function.installed", draft.function, data, origin=origin)
    return saved


def _installed(view: View, rows: tuple[Installation, ...]) -> tuple[Installed, ...]:
    offered = view.unit.shares.offered(_reaches(view), {row.share for row in rows})
    found = ((row, offered.get(row.share)) for row in rows)
    return tuple(Installed(row, share is not None, row.update(share)) for row, share in found)
