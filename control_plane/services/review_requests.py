"""What a request for review holds, and which requests a version's state allows.

Deciding on it is in `reviews`.
"""

from __future__ import annotations

from control_plane.domain.evidence import Facts, changed_paths, risks_of
from control_plane.domain.identity import Project
from control_plane.domain.releases import ReleaseState
from control_plane.domain.review_policies import Risk, needs_of
from control_plane.domain.reviews import Review, ReviewAction, ReviewKind, ReviewState, move
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Conflict
from control_plane.ports import Builder
from control_plane.services.changes import Change, View

__all__ = ["check_kind", "facts_of", "make_review", "outdate_others"]


def check_kind(view: View, found: Version, kind: ReviewKind) -> None:
    """Refuse a request that the version's state does not allow."""
    name = f"Version {found.number}"
    if found.state is VersionState.RETIRED:
        raise Conflict(f"{name} is retired.", hint="Freeze a new version.")
    down = found.state is VersionState.TAKEN_DOWN
    if down and kind is not ReviewKind.REINSTATE:
        raise Conflict(f"{name} was taken down.", hint="Submit it with the kind reinstate.")
    if kind is ReviewKind.REINSTATE and not down:
        raise Conflict(f"{name} was not taken down.", hint="Submit it with the kind publish.")
    if kind is ReviewKind.MODIFY:
        active = view.unit.releases.active_of(found.organization, found.function)
        live = [part.version for one in active if one.state is ReleaseState.LIVE for part in one.parts]
        if found.id not in live:
            raise Conflict(f"{name} receives no calls.", hint="Submit it with the kind publish.")


def outdate_others(change: Change, found: Version, kind: ReviewKind) -> None:
    """Let older open reviews of the function go stale; a takedown stands beside the others."""
    for older in change.unit.reviews.active_of(change.organization, found.function):
        if (older.kind is ReviewKind.TAKEDOWN) is not (kind is ReviewKind.TAKEDOWN):
            continue
        if older.version == found.id:
            raise Conflict(
                f"Version {found.number} is under review already.",
                hint=f"See {older.id}, or withdraw it first.",
            )
        if older.open and kind is not ReviewKind.TAKEDOWN:
            change.unit.reviews.update(move(older, ReviewAction.OUTDATE))
            data = {"function": found.function}
            change.happened("review.outdated", older.id, data, by=found.number)


def make_review(
    change: Change, builder: Builder, project: Project, found: Version, what: tuple[ReviewKind, str]
) -> Review:
    """Return a review with what differs from the last reviewed version. `what` is kind and note."""
    kind, note = what
    base = change.unit.versions.last_reviewed_before(found.organization, found.function, found.number)
    paths: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    if kind is not ReviewKind.TAKEDOWN:
        paths = changed_paths(base, found)
        facts = facts_of(builder, base) if base else None
        named = risks_of(facts, facts_of(builder, found))
        risks = tuple(dict.fromkeys(one.risk for one in named))
    return Review(
        id=change.new_id("review"),
        organization=found.organization,
        project=project.id,
        function=found.function,
        version=found.id,
        number=found.number,
        digest=found.digest,
        state=ReviewState.SUBMITTED,
        submitter=change.actor.user,
        submitter_email=change.actor.email,
        authors=found.authors,
        required=needs_of(project.policy, paths, risks).approvals,
        note=note,
        created_ms=change.now_ms,
        kind=kind,
        policy=project.policy,
        base=base.id if base else "",
        paths=paths,
        risks=risks,
    )


def facts_of(builder: Builder, version: Version) -> Facts:
    """Return what of a version risks are judged by."""
    egress = tuple(str(one) for one in version.manifest.get("egress", ()))
    return Facts(version.declaration, egress, builder.packages(version.lock))
