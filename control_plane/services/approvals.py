"""Whether a version may receive traffic: the one check that every release makes in its transaction."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.access import Permission, decide
from control_plane.domain.identity import Project
from control_plane.domain.releases import ROLLBACK_MS
from control_plane.domain.reviews import Review, ReviewState, valid_approvals
from control_plane.domain.versions import Version, VersionState
from control_plane.services.changes import View

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one version. `refusal` is (code, sentence), empty when it may go."""

    refusal: tuple[str, str] | None = None
    # Goes only because the project asks for no approval.
    unreviewed: bool = False
    # What made it go: "approved", "was_live" or "no_approval_asked"
    reason: str = ""


def judge(view: View, version: Version, project: Project) -> Verdict:
    """Decide over one version from what the database holds at this moment."""
    name = f"Version {version.number}"
    if version.state is VersionState.RETIRED:
        return Verdict(refusal=("version_retired", f"{name} is retired."))
    if not version.intact():
        return Verdict(refusal=("version_damaged", f"{name}'s manifest does not hash to its digest."))
    if project.policy.approvals == 0:
        return Verdict(unreviewed=True, reason="no_approval_asked")
    if _was_live(view, version):
        return Verdict(reason="was_live")
    reviews = view.unit.reviews.of_version(version.organization, version.id)
    counted = max((len(_counting(view, review, version, project)) for review in reviews), default=0)
    asked = project.policy.approvals
    if counted < asked:
        sentence = f"{name} has {counted} of {asked} valid approvals of {version.digest[:23]}…."
        return Verdict(refusal=("approval_missing", sentence))
    return Verdict(reason="approved")


def _was_live(view: View, version: Version) -> bool:
    """Say whether reviewed calls reached it within the last 30 days."""
    since = view.now_ms - ROLLBACK_MS
    releases = view.unit.releases.live_since(version.organization, version.function, since)
    return any(
        part.version == version.id and part.digest == version.digest
        for release in releases
        if not release.unreviewed
        for part in release.parts
    )


def _counting(view: View, review: Review, version: Version, project: Project) -> tuple[str, ...]:
    """Return who approved exactly this digest and still has the right to."""
    if review.state is not ReviewState.APPROVED or review.digest != version.digest:
        return ()
    allowed = []
    for approval in review.approvals:
        user = view.unit.identity.user(approval.user)
        bindings = view.unit.identity.rights(version.organization, approval.user)
        if user and not user.disabled and decide(bindings, Permission.REVIEW_DECIDE, project.scope):
            allowed.append(approval.user)
    return tuple(one.user for one in valid_approvals(review, project.policy, view.now_ms, allowed))
