"""What an imported file becomes in the database, in one transaction.

Checking and building it is in `imports`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from control_plane.domain.functions import DraftFile, Function
from control_plane.domain.identity import Project
from control_plane.domain.moving import (
    EvidenceStatement,
    ImportRefused,
    Origin,
    VersionEvidence,
    read_evidence,
)
from control_plane.domain.versions import Version
from control_plane.errors import Conflict, IngotError
from control_plane.ports import Builder, Built
from control_plane.services.changes import Change
from control_plane.services.drafts import save_draft
from control_plane.services.function_archive import ArchivedVersion, FunctionArchive
from control_plane.services.functions import Details, check_details, make_function

__all__ = ["Bringing", "Imported", "ImportedVersion", "Ready", "Vouched", "record"]


@dataclass(frozen=True, slots=True)
class Vouched:
    """What the trust list says of a key."""

    # Its name there.
    name: str
    # How many approvals a version needs for its evidence to count.
    approvals: int


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """One version of a file and what it is here."""

    number: int
    digest: str
    source_number: int
    # False when it was here already.
    new: bool
    # Approvals of the other Ingot that count here.
    approvals: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file became."""

    function: Function
    versions: tuple[ImportedVersion, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """One version that is built and may be written down."""

    source: ArchivedVersion
    evidence: VersionEvidence
    built: Built
    lock: str
    sbom: str


@dataclass(frozen=True, slots=True)
class Bringing:
    """All of a file, checked and built."""

    archive: FunctionArchive
    statement: EvidenceStatement
    vouched: Vouched | None
    versions: tuple[Ready, ...]


def record(change: Change, place: Project, name: str, bringing: Bringing, builder: Builder) -> Imported:
    """Write down what a file holds, in the open transaction; what is here already stays as it is."""
    function, is_new = _function(change, place, name or str(bringing.archive.function["name"]), bringing)
    listed = []
    added = 0
    for ready in bringing.versions:
        known = change.unit.versions.by_digest(change.organization, function.id, ready.source.digest)
        version = known
        if version is None:
            version = _new_version(change, function, ready)
            change.unit.versions.add(version)
            change.unit.packages.add(version, builder.packages(version.lock))
            runtime = version.declaration.runtime
            function = replace(function, latest=version.number, runtime=runtime, updated_ms=change.now_ms)
            change.unit.functions.update(function)
            added += 1
        origin = _origin(change, version, ready, bringing)
        _remember(change, origin, known)
        listed.append(
            ImportedVersion(
                version.number, version.digest, ready.source.number, known is None, origin.counting(0)
            )
        )
    if is_new:
        _begin_draft(change, function, bringing.versions[-1])
    if added:
        source = f"{bringing.statement.organization_name}/{bringing.statement.name}"
        details = {"signer": bringing.archive.signer, "trusted_as": _name(bringing.vouched)}
        data = {"origin": source, "versions": added}
        change.happened("function.imported", function.id, data, **details)
    return Imported(function, tuple(listed))


def _function(change: Change, place: Project, name: str, bringing: Bringing) -> tuple[Function, bool]:
    """Return the function that the versions belong to here, made now unless it came from there before."""
    known = change.unit.functions.by_name(change.organization, name)
    if known is None:
        details = _details(bringing.archive)
        made = make_function(change, place, name, details.title or "")
        described = replace(made, description=details.description or "", labels=dict(details.labels or {}))
        change.unit.functions.update(described)
        return described, True
    statement = bringing.statement
    origins = change.unit.origins.of_function(change.organization, known.id)
    same = (known.organization, known.id) == (statement.organization, statement.function)
    if not same and not any(one.source_function == statement.function for one in origins):
        raise Conflict(
            f"There is a function “{name}” already, and it is another one.",
            field="name",
            hint="Choose another name for what you import.",
        )
    if known.project != place.id or known.removed_ms:
        raise Conflict(
            f"“{name}” is in another project, or was taken down.",
            field="project",
            hint="Name its project, and restore it first.",
        )
    return known, False


def _details(archive: FunctionArchive) -> Details:
    """Return what the function is called and described by, as strict as when people write it."""
    said = archive.function
    texts = [said.get(name, "") for name in ("name", "title", "description")]
    labels = said.get("labels", {})
    if not all(isinstance(text, str) for text in texts) or not isinstance(labels, dict):
        raise ImportRefused("The file describes its function by something else than text.")
    if not all(isinstance(value, str) for value in labels.values()):
        raise ImportRefused("The file's labels are not text.")
    details = Details(title=texts[1], description=texts[2], labels=labels)
    try:
        check_details(details)
    except IngotError as error:
        raise ImportRefused(error.message) from error
    return details


def _new_version(change: Change, function: Function, ready: Ready) -> Version:
    built = ready.built
    actor = change.actor
    # Whoever imports answers for it here; who wrote it there cannot approve it here either.
    authors = ((actor.user, actor.email), *(("", email) for email in ready.evidence.authors))
    return Version(
        id=change.new_id("version"),
        organization=change.organization,
        project=function.project,
        function=function.id,
        number=function.latest + 1,
        digest=built.digest,
        manifest_text=built.manifest,
        declaration=built.declaration,
        files=_files(ready.source),
        lock=ready.lock,
        layers=built.layers,
        image=built.image,
        sbom=ready.sbom,
        revision=change.unit.functions.draft(change.organization, function.id).revision,
        authors=tuple(dict.fromkeys(authors)),
        created_by=actor.user,
        created_ms=change.now_ms,
    )


def _files(source: ArchivedVersion) -> tuple[DraftFile, ...]:
    return tuple(DraftFile(file.path, file.digest, file.size) for file in source.files)


def _begin_draft(change: Change, function: Function, newest: Ready) -> None:
    """Let the draft of a new function be its newest version, so that its author can go on."""
    draft = change.unit.functions.draft(change.organization, function.id)
    filled = replace(draft.with_files(_files(newest.source)), lock=newest.lock)
    save_draft(change, filled, "import")


def _origin(change: Change, version: Version, ready: Ready, bringing: Bringing) -> Origin:
    statement, vouched = bringing.statement, bringing.vouched
    enough = vouched is not None and len(ready.evidence.approvals) >= vouched.approvals
    return Origin(
        version=version.id,
        organization=change.organization,
        function=version.function,
        digest=version.digest,
        source_organization=statement.organization,
        source_organization_name=statement.organization_name,
        source_function=statement.function,
        source_name=statement.name,
        source_number=ready.source.number,
        signer=bringing.archive.signer,
        trusted_as=_name(vouched) if enough else "",
        approvals=ready.evidence.approvals,
        evidence=bringing.archive.evidence,
        imported_by=change.actor.user,
        imported_ms=change.now_ms,
    )


def _remember(change: Change, origin: Origin, known: Version | None) -> None:
    """Write the origin down; of a version that is here, newer evidence takes the place of older."""
    if known is None:
        change.unit.origins.add(origin)
        return
    before = change.unit.origins.of_version(change.organization, known.id)
    if before is None:
        # It was frozen here: what others say of it changes nothing.
        return
    newer = (
        read_evidence(origin.evidence).statement.issued_ms
        > read_evidence(before.evidence).statement.issued_ms
    )
    if newer or (origin.trusted_as and not before.trusted_as):
        change.unit.origins.update(origin)
        change.record(known.id, {"origin": origin.source_name, "trusted_as": origin.trusted_as})


def _name(vouched: Vouched | None) -> str:
    return vouched.name if vouched else ""
