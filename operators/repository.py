"""Judges the files of a git repository as a cluster would, offline: attestations, approvals, replays. Pure.

Reading files is for whoever calls it; what a cluster admits is in `attestation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.domain.attestations import (
    RELEASE_TYPE,
    Admitted,
    Refusal,
    read_envelope,
    release_statement,
)
from control_plane.domain.moving import EVIDENCE_TYPE, GivenApproval, read_evidence
from control_plane.signatures import signed_by
from operators.attestation import admitted_after, judge
from operators.trust import TrustedKey

__all__ = ["Finding", "Repository", "judge_repository", "sort_documents"]

_GROUP: Final = "ingot.dev/"


@dataclass(frozen=True, slots=True)
class Repository:
    """What was found in the files."""

    # (where it stands, the resource)
    functions: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    # (where it stands, the envelope of signed approvals)
    approvals: tuple[tuple[str, Mapping[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of one file. Without a refusal it may be applied."""

    where: str
    what: str
    refusal: Refusal | None = None
    # Who approved each version: its number and the addresses.
    approved_by: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def sort_documents(documents: Iterable[tuple[str, Any]]) -> Repository:
    """Return the Functions and the signed approvals among documents; others are not ours to judge."""
    functions, approvals = [], []
    for where, document in documents:
        if not isinstance(document, Mapping):
            continue
        if document.get("kind") == "Function" and str(document.get("apiVersion")).startswith(_GROUP):
            functions.append((where, document))
        elif document.get("payloadType") == EVIDENCE_TYPE:
            approvals.append((where, document))
    return Repository(tuple(functions), tuple(approvals))


def judge_repository(
    now_there: Repository,
    before: Repository,
    keys: Sequence[TrustedKey],
    now: datetime,
    *,
    approvals: int = 0,
) -> tuple[Finding, ...]:
    """Return a finding for each Function and each file of approvals.

    `before` is what the repository held: an older release than it had is a replay. `approvals` is asked of
    every version beside what the trust list asks for.
    """
    known = _known(before, keys, now)
    findings = [_approvals_finding(where, one, keys, now) for where, one in now_there.approvals]
    for where, body in now_there.functions:
        findings.append(_judge_function(where, body, (keys, now), (now_there, known, approvals)))
    return tuple(findings)


def _judge_function(
    where: str,
    body: Mapping[str, Any],
    trust: tuple[Sequence[TrustedKey], datetime],
    asked: tuple[Repository, Mapping[str, Admitted], int],
) -> Finding:
    keys, now = trust
    repository, known, least = asked
    try:
        namespace = str(body["metadata"]["namespace"])
        what = f"{namespace}/{body['metadata']['name']}"
        function = str(body["spec"]["function"])
        verdict = judge(body, keys, known.get(function, Admitted()), now)
        numbers = {str(one["digest"]): int(one["number"]) for one in body["spec"]["versions"]}
    except (KeyError, TypeError, ValueError, AttributeError):
        return Finding(where, "Function", Refusal("Malformed", "It lacks a field that every Function has."))
    if verdict.refusal is not None:
        return Finding(where, what, verdict.refusal)
    speaking = [key for key in keys if key.speaks_for(namespace, now)]
    required = max(least, min((key.approvals for key in speaking), default=0))
    given = _given(repository, speaking, function)
    by = {numbers[digest]: tuple(sorted(given.get(digest, {}))) for digest in numbers}
    for digest, number in sorted(numbers.items(), key=lambda item: item[1]):
        found = len(given.get(digest, {}))
        if found < required:
            message = (
                f"Version {number} has {found} signed approvals in the repository; {required} are asked for."
            )
            return Finding(where, what, Refusal("Unreviewed", message), by)
    return Finding(where, what, None, by)


def _given(
    repository: Repository, keys: Sequence[TrustedKey], function: str
) -> dict[str, dict[str, GivenApproval]]:
    """Return digest -> address -> approval, of evidence about this function that a trusted key signed."""
    given: dict[str, dict[str, GivenApproval]] = {}
    for _, document in repository.approvals:
        try:
            evidence = read_evidence(document)
        except ValueError:
            continue
        if evidence.statement.function != function:
            continue
        if any(signed_by(evidence.envelope, key.public) for key in keys):
            for version in evidence.statement.versions:
                for one in version.approvals:
                    given.setdefault(version.digest, {})[one.email] = one
    return given


def _approvals_finding(
    where: str, document: Mapping[str, Any], keys: Sequence[TrustedKey], now: datetime
) -> Finding:
    try:
        evidence = read_evidence(document)
    except ValueError as error:
        message = f"The approvals cannot be used: {error}."
        return Finding(where, "approvals", Refusal("AttestationMalformed", message))
    statement = evidence.statement
    what = f"approvals of {statement.organization_name}/{statement.name}"
    in_time = [key for key in keys if key.until is None or now < key.until]
    if not any(signed_by(evidence.envelope, key.public) for key in in_time):
        return Finding(where, what, Refusal("NotTrusted", "No key that is trusted signed the approvals."))
    by = {one.number: tuple(given.email for given in one.approvals) for one in statement.versions}
    return Finding(where, what, None, by)


def _known(before: Repository, keys: Sequence[TrustedKey], now: datetime) -> dict[str, Admitted]:
    """Return function -> what a cluster that had the older files remembers."""
    known: dict[str, Admitted] = {}
    for _, body in before.functions:
        try:
            if judge(body, keys, Admitted(), now).refusal is not None:
                continue
            envelope = read_envelope(body["spec"]["attestation"], RELEASE_TYPE)
            statement = release_statement(envelope.payload)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        older = known.get(statement.function, Admitted())
        if statement.epoch >= older.epoch:
            known[statement.function] = admitted_after(older, statement)
    return known
