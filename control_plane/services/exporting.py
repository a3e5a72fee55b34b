"""Signs what is to leave this Ingot. Runs in the worker, which alone holds the release key.

What is asked for, and what a file consists of, is in `exports`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.attestations import enveloped
from control_plane.domain.desired import HostState
from control_plane.domain.identity import Actor
from control_plane.domain.moving import (
    EVIDENCE_TYPE,
    EvidenceStatement,
    Export,
    ExportKind,
    ExportState,
    GivenApproval,
    VersionEvidence,
    evidence_payload,
)
from control_plane.domain.reviews import FourEyes, Review, ReviewKind, ReviewState, check_four_eyes
from control_plane.domain.versions import Version
from control_plane.errors import Conflict, IngotError, Unavailable
from control_plane.ports import Signer
from control_plane.services.approvals import judge
from control_plane.services.changes import Changes, View, absent
from control_plane.services.reconciling import make_host_state
from control_plane.services.world import released_of

__all__ = ["Attest", "Exporting", "Seal"]

_BATCH: Final = 20
_YES: Final = (ReviewState.APPROVED, ReviewState.PUBLISHED)


@dataclass(frozen=True, slots=True)
class Seal:
    """The key, and what its statements say of this machine."""

    signer: Signer
    # Of layers' machine code.
    platform: str
    # Part of the names of targets.
    isolation: str


# (the one release and its targets, its place, the epoch) -> the attested Function resource
Attest = Callable[[HostState, tuple[str, str], int], dict[str, Any]]


class Exporting:
    """Signs exports that wait. `attest` is None where no registry keeps images that a cluster could pull."""

    def __init__(self, changes: Changes, seal: Seal, attest: Attest | None) -> None:
        self._changes = changes
        self._seal = seal
        self._attest = attest

    def sign_due(self) -> int:
        """Sign or refuse what waits; returns how many. What cannot be reached is tried again next time."""
        with self._changes.read(Actor.system("")) as view:
            due = view.unit.exports.waiting(_BATCH)
        return sum(self._sign(export) for export in due)

    def _sign(self, export: Export) -> bool:
        try:
            resource, statement = self._make(export)
        except Unavailable:
            return False
        except IngotError as error:
            code, message = error.code, error.message
            self._finish(export, lambda known, now: known.refused(code, message, now))
            return True
        signer = self._seal.signer
        evidence = enveloped(EVIDENCE_TYPE, evidence_payload(statement), signer.public_key(), signer.sign)
        public = signer.public_key()
        self._finish(export, lambda known, now: known.signed(resource, evidence, public, now))
        return True

    def _finish(self, export: Export, done: Callable[[Export, int], Export]) -> None:
        with self._changes.change(Actor.system(export.organization), "export.sign") as change:
            known = change.unit.exports.get(export.organization, export.id)
            if known is None or known.state is not ExportState.WAITING:
                return
            finished = done(known, change.now_ms)
            change.unit.exports.update(finished)
            details = {"export": export.id, "kind": export.kind, "state": finished.state}
            change.record(export.function, details | {"numbers": list(export.numbers)})

    def _make(self, export: Export) -> tuple[Mapping[str, Any], EvidenceStatement]:
        with self._changes.read(Actor.system(export.organization)) as view:
            if export.kind is ExportKind.FUNCTION:
                versions = [_version(view, export, number) for number in export.numbers]
                return {}, self._statement(view, export, versions)
            state, versions = self._released(view, export)
            statement = self._statement(view, export, versions)
        if self._attest is None:
            raise Conflict("A cluster needs a registry to pull from, and registry.address is not set.")
        # Counted only now: a number once given is never given again, and the newest one wins.
        epoch = self._changes.count("applied")
        return self._attest(state, (export.namespace, export.name), epoch), statement

    def _released(self, view: View, export: Export) -> tuple[HostState, list[Version]]:
        """Return a release as a runtime takes it, when every part of it may receive calls now."""
        release = view.unit.releases.by_number(export.organization, export.function, export.numbers[0])
        project = view.unit.identity.project(export.organization, export.project)
        found = tuple(released_of(view, (release,))) if release is not None else ()
        if release is None or project is None or not found:
            raise absent("release", str(export.numbers[0]))
        versions = []
        for part in release.parts:
            version = view.unit.versions.get(export.organization, part.version)
            if version is None:
                raise absent("version", part.version)
            verdict = judge(view, version, project, part.bound.epoch)
            if verdict.refusal is not None:
                raise Conflict(verdict.refusal[1])
            if not part.base.startswith("sha256:"):
                raise Conflict(
                    f"Release {release.number} stands on an interpreter of this machine and on no image; "
                    "release it again now that a registry is set."
                )
            versions.append(version)
        return make_host_state(found, epoch=0, isolation=self._seal.isolation), versions

    def _statement(self, view: View, export: Export, versions: Sequence[Version]) -> EvidenceStatement:
        organization = view.unit.identity.organization(export.organization)
        function = view.unit.functions.get(export.organization, export.function)
        if organization is None or function is None:
            raise absent("function", export.function)
        return EvidenceStatement(
            organization=export.organization,
            organization_name=organization.name,
            function=export.function,
            name=function.name,
            platform=self._seal.platform,
            issued_ms=view.now_ms,
            versions=tuple(_evidence(view, version) for version in versions),
        )


def _version(view: View, export: Export, number: int) -> Version:
    found = view.unit.versions.by_number(export.organization, export.function, number)
    if found is None:
        raise absent("version", str(number))
    return found


def _evidence(view: View, version: Version) -> VersionEvidence:
    reviews = view.unit.reviews.of_version(version.organization, version.id)
    given = {
        one.email.lower(): one
        for review in reviews
        if review.state in _YES and review.kind is not ReviewKind.TAKEDOWN and review.digest == version.digest
        for one in _approvals(review)
    }
    # What counted here although it was given elsewhere goes on.
    origin = view.unit.origins.of_version(version.organization, version.id)
    if origin is not None and origin.trusted_as:
        given = {one.email.lower(): one for one in origin.approvals} | given
    authors = sorted({email.lower() for _, email in version.authors if email})
    return VersionEvidence(
        number=version.number,
        digest=version.digest,
        layers=version.layers,
        authors=tuple(authors),
        approvals=tuple(given[email] for email in sorted(given) if email not in authors),
    )


def _approvals(review: Review) -> list[GivenApproval]:
    found = []
    for one in review.approvals:
        try:
            check_four_eyes(review, one.user, one.email)
        except FourEyes:
            continue
        if one.digest == review.digest and one.email:
            found.append(GivenApproval(one.email, one.at_ms))
    return found
