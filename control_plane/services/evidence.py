"""Evidence: everything beside the code that speaks for or against what a review asks for.

It is computed from stored bytes each time, so it cannot differ from what would run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.access import Permission
from control_plane.domain.evidence import (
    Component,
    CostEstimate,
    RiskFound,
    components_of,
    estimate_cost,
    is_code,
    names_changed,
    risks_of,
)
from control_plane.domain.identity import Actor
from control_plane.domain.review_policies import Needs
from control_plane.domain.reviews import Review, needs_for, valid_approvals
from control_plane.domain.test_runs import TestRun
from control_plane.domain.versions import Change, Diff, Version, VersionContent, diff
from control_plane.ports import Blobs, Builder
from control_plane.services.approvals import live_epoch, measure
from control_plane.services.changes import Changes, absent
from control_plane.services.drafts import read_files
from control_plane.services.review_requests import facts_of
from control_plane.services.reviews import find_review

__all__ = ["Evidence", "EvidenceOfReview", "FileSummary"]

_RUNS: Final = 10


@dataclass(frozen=True, slots=True)
class FileSummary:
    """How much one file changes; the lines are in the diff."""

    path: str
    kind: str
    code: bool
    binary: bool
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class EvidenceOfReview:
    """All that a reviewer should weigh, against the version that it is compared with."""

    review: Review
    # Number of that version; 0 when everything is new.
    base: int
    needs: Needs
    # Approvals that count at this moment.
    counted: int
    # What stands for the live values now; empty while one is missing.
    values: str
    risks: tuple[RiskFound, ...]
    # The newest ones of exactly this digest.
    test_runs: tuple[TestRun, ...]
    files: tuple[FileSummary, ...]
    dependencies: tuple[Change, ...]
    # Package -> "version (licences)" by the bills of materials.
    sbom: tuple[Change, ...]
    licences: tuple[Change, ...]
    egress: tuple[Change, ...]
    settings: tuple[Change, ...]
    secrets: tuple[Change, ...]
    limits: tuple[Change, ...]
    cost_before: CostEstimate | None
    cost_after: CostEstimate


@dataclass(frozen=True, slots=True)
class _Read:
    """What one transaction found."""

    review: Review
    after: Version
    before: Version | None
    needs: Needs
    counted: int
    values: str
    runs: tuple[TestRun, ...]
    runs_before: tuple[TestRun, ...]


class Evidence:
    """Use cases about what a review shows."""

    def __init__(self, changes: Changes, blobs: Blobs, builder: Builder) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder

    def diff(self, actor: Actor, review: str) -> Diff:
        """Return what the version changes against the last reviewed one."""
        read = self._read(actor, review)
        return diff(self._content(read.before) if read.before else None, self._content(read.after))

    def of(self, actor: Actor, review: str) -> EvidenceOfReview:
        """Return the evidence as it is now."""
        read = self._read(actor, review)
        before, after = read.before, read.after
        changes = diff(self._content(before) if before else None, self._content(after))
        old = facts_of(self._builder, before) if before else None
        new = facts_of(self._builder, after)
        bills = (self._components(before) if before else {}, self._components(after))
        return EvidenceOfReview(
            review=read.review,
            base=before.number if before else 0,
            needs=read.needs,
            counted=read.counted,
            values=read.values,
            risks=risks_of(old, new),
            test_runs=read.runs,
            files=_summaries(changes),
            dependencies=changes.dependencies,
            sbom=_bill_changes(*bills),
            licences=names_changed(_all_licences(bills[0]), _all_licences(bills[1])),
            egress=names_changed(old.egress if old else (), new.egress),
            settings=names_changed(old.declaration.settings if old else (), new.declaration.settings),
            secrets=names_changed(old.declaration.secrets if old else (), new.declaration.secrets),
            limits=tuple(
                one
                for one in changes.declaration
                if one.name.startswith("limits.") or one.name == "body_limit"
            ),
            cost_before=estimate_cost(before.declaration.limits, _durations(read.runs_before))
            if before
            else None,
            cost_after=estimate_cost(after.declaration.limits, _durations(read.runs)),
        )

    def _read(self, actor: Actor, review: str) -> _Read:
        with self._changes.read(actor) as view:
            known, project = find_review(view, review, Permission.REVIEW_READ)
            after = view.unit.versions.get(actor.organization, known.version)
            before = view.unit.versions.get(actor.organization, known.base) if known.base else None
            if after is None:
                raise absent("version", known.version)
            epoch = live_epoch(view, after)
            runs = view.unit.reviews.test_runs
            return _Read(
                review=known,
                after=after,
                before=before,
                needs=needs_for(known, project.policy),
                counted=len(valid_approvals(known, measure(view, known, project, epoch))),
                values=epoch,
                runs=runs(actor.organization, known.function, after.digest, _RUNS),
                runs_before=runs(actor.organization, known.function, before.digest, _RUNS) if before else (),
            )

    def _content(self, version: Version) -> VersionContent:
        return VersionContent(
            declaration=version.declaration,
            files=read_files(self._blobs, version.files),
            packages=self._builder.packages(version.lock),
        )

    def _components(self, version: Version) -> dict[str, Component]:
        document: Any = json.loads(self._blobs.get(version.sbom)) if self._blobs.has(version.sbom) else {}
        return components_of(document)


def _durations(runs: tuple[TestRun, ...]) -> tuple[int, ...]:
    return tuple(run.duration_us for run in runs if run.state == "answered")


def _summaries(changes: Diff) -> tuple[FileSummary, ...]:
    def count(lines: tuple[str, ...], sign: str) -> int:
        # The first two lines of a unified diff name the files.
        return sum(line.startswith(sign) for line in lines[2:])

    return tuple(
        FileSummary(
            path=file.path,
            kind=file.kind,
            code=is_code(file.path),
            binary=file.binary,
            added=count(file.lines, "+"),
            removed=count(file.lines, "-"),
        )
        for file in changes.files
    )


def _bill_changes(before: Mapping[str, Component], after: Mapping[str, Component]) -> tuple[Change, ...]:
    def shown(bill: Mapping[str, Component], name: str) -> str | None:
        if name not in bill:
            return None
        return f"{bill[name].version} ({', '.join(bill[name].licences) or 'no licence named'})"

    return tuple(
        Change(name, shown(before, name), shown(after, name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _all_licences(bill: Mapping[str, Component]) -> tuple[str, ...]:
    return tuple(sorted({licence for component in bill.values() for licence in component.licences}))
