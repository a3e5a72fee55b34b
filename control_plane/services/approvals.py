"""Whether a version may receive traffic: the one check that every release makes in its transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from control_plane.domain.access import Permission, Role, decide
from control_plane.domain.identity import Project
from control_plane.domain.releases import ROLLBACK_MS
from control_plane.domain.review_policies import ValuesRule, needs_of, roles_held, satisfied
from control_plane.domain.reviews import (
    Measure,
    Review,
    ReviewKind,
    ReviewState,
    needs_for,
    valid_approvals,
)
from control_plane.domain.values import MissingValues, Stage, bind
from control_plane.domain.versions import Version, VersionState
from control_plane.services.changes import View

__all__ = ["Verdict", "judge", "live_epoch", "measure", "roles_of"]


_DAY_MS: Final = 86_400_000
_NO: Final = (ReviewState.REJECTED, ReviewState.CHANGES_REQUESTED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one version. `refusal` is (code, sentence), empty when it may go."""

    refusal: tuple[str, str] | None = None
    # Goes only because the project asks for no approval.
    unreviewed: bool = False
    # What made it go: "approved", "approved_elsewhere", "was_live" or "no_approval_asked"
    reason: str = ""


def judge(view: View, version: Version, project: Project, epoch: str | None = None) -> Verdict:
    """Decide over one version from what the database holds at this moment.

    `epoch` is that of the values to be released, by default of the newest ones.
    """
    epoch = live_epoch(view, version) if epoch is None else epoch
    reviews = view.unit.reviews.of_version(version.organization, version.id)
    asks_none = project.policy.approvals == 0
    barred = _barred(version) or (_still_asked(version, reviews) if asks_none else None)
    if barred is not None:
        return Verdict(refusal=barred)
    if _was_live(view, version, epoch if project.policy.values is ValuesRule.APPROVED else None):
        return Verdict(reason="was_live")
    verdict = _by_approvals(view, version, project, (reviews, epoch))
    if verdict.refusal is not None and _approved_elsewhere(view, version, project):
        return Verdict(reason="approved_elsewhere")
    if asks_none and verdict.refusal is not None:
        return Verdict(unreviewed=True, reason="no_approval_asked")
    return verdict


def live_epoch(view: View, version: Version) -> str:
    """Return the epoch of the live values that a release would bind now; empty while one is missing."""
    values = view.unit.values.usable(version.organization, version.project, version.function)
    try:
        return bind(version.declaration, (one for one in values if one.stage is Stage.LIVE)).epoch
    except MissingValues:
        return ""


def measure(view: View, review: Review, project: Project, epoch: str, *more: str) -> Measure:
    """Return what the review's approvals, and those of `more` users, are held against now."""
    users = {*(approval.user for approval in review.approvals), *more}
    return Measure(
        needs=needs_for(review, project.policy),
        roles=roles_of(view, users, project),
        epoch=epoch,
        now_ms=view.now_ms,
    )


def roles_of(view: View, users: Iterable[str], project: Project) -> dict[str, frozenset[Role]]:
    """Return the roles in the project of those users who may decide reviews there now."""
    found = {}
    for user in sorted(users):
        known = view.unit.identity.user(user)
        bindings = view.unit.identity.rights(project.organization, user)
        if known and not known.disabled and decide(bindings, Permission.REVIEW_DECIDE, project.scope):
            found[user] = roles_held(bindings, project.scope)
    return found


def _barred(version: Version) -> tuple[str, str] | None:
    """Say why no approval helps a version."""
    name = f"Version {version.number}"
    if version.state is VersionState.RETIRED:
        return ("version_retired", f"{name} is retired.")
    if version.state is VersionState.TAKEN_DOWN:
        return ("version_taken_down", f"{name} was taken down; only a review reinstates it.")
    if not version.intact():
        return ("version_damaged", f"{name}'s manifest does not hash to its digest.")
    return None


def _still_asked(version: Version, reviews: tuple[Review, ...]) -> tuple[str, str] | None:
    """Say whose answer is missing, where somebody was asked while the project needed approvals."""
    for review in reviews:
        if review.open and review.kind is not ReviewKind.TAKEDOWN and review.policy.approvals:
            sentence = (
                f"Version {version.number} was submitted when the project asked for approvals: "
                f"{review.id} must be decided or withdrawn."
            )
            return ("review_open", sentence)
    return None


def _was_live(view: View, version: Version, epoch: str | None) -> bool:
    """Say whether reviewed calls reached it within the last 30 days, with these values if any are named."""
    since = view.now_ms - ROLLBACK_MS
    releases = view.unit.releases.live_since(version.organization, version.function, since)
    return any(
        part.version == version.id
        and part.digest == version.digest
        and (epoch is None or part.bound.epoch == epoch)
        for release in releases
        if not release.unreviewed
        for part in release.parts
    )


def _approved_elsewhere(view: View, version: Version, project: Project) -> bool:
    """Say whether approvals that came with an imported version are enough here.

    They can stand for a number of approvals and for nothing else: roles, rules and values are this
    project's own. Where reviewers here said no, that stands.
    """
    policy = project.policy
    if not policy.approvals or policy.roles or policy.rules or policy.values is not ValuesRule.FREE:
        return False
    reviews = view.unit.reviews.of_version(version.organization, version.id)
    if any(review.state in _NO for review in reviews):
        return False
    origin = view.unit.origins.of_version(version.organization, version.id)
    since = view.now_ms - policy.approval_days * _DAY_MS
    return (
        origin is not None and origin.digest == version.digest and origin.counting(since) >= policy.approvals
    )


def _by_approvals(
    view: View, version: Version, project: Project, evidence: tuple[tuple[Review, ...], str]
) -> Verdict:
    """Look for a review whose approvals are enough for the digest and the values."""
    reviews, epoch = evidence
    counted, asked = 0, needs_of(project.policy, (), ()).approvals
    roles = ""
    for review in reviews:
        decided = review.state is ReviewState.APPROVED and review.kind is not ReviewKind.TAKEDOWN
        if not decided or review.digest != version.digest:
            continue
        held = measure(view, review, project, epoch)
        valid = valid_approvals(review, held)
        if satisfied(held.needs, [held.roles[approval.user] for approval in valid]):
            return Verdict(reason="approved")
        counted, asked = max(counted, len(valid)), max(asked, held.needs.approvals)
        roles = ", ".join(f"{count} by {role}" for role, count in held.needs.roles.items())
    sentence = f"Version {version.number} has {counted} of {asked} valid approvals of {version.digest[:23]}…"
    sentence += f", of which the policy wants {roles}" if roles else ""
    sentence += " with the values to be released." if project.policy.values is ValuesRule.APPROVED else "."
    return Verdict(refusal=("approval_missing", sentence))
