"""A function's file as `ingot export` writes it, made by the builders without a server."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from builders.build import Folders, build, freeze, lock, machine_platform, read_draft
from builders.registry.names import digest_of
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.domain.attestations import enveloped
from control_plane.domain.moving import (
    EVIDENCE_TYPE,
    EvidenceStatement,
    GivenApproval,
    VersionEvidence,
    evidence_payload,
)
from control_plane.services.function_archive import ArchivedFile, ArchivedVersion, FunctionArchive, write

__all__ = ["evidence_of", "function_file"]


def evidence_of(
    signer: Ed25519Signer, function: str, versions: Mapping[int, str], approvers: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return signed evidence about versions (number -> digest) of a function."""
    statement = EvidenceStatement(
        organization="org_acme",
        organization_name="acme",
        function=function,
        name="orders",
        platform=machine_platform(),
        issued_ms=1_800_000_000_000,
        versions=tuple(
            VersionEvidence(
                number, digest, {}, (), tuple(GivenApproval(who, 1_800_000_000_000) for who in approvers)
            )
            for number, digest in versions.items()
        ),
    )
    return enveloped(EVIDENCE_TYPE, evidence_payload(statement), signer.public_key(), signer.sign)


def function_file(files: Mapping[str, bytes], folders: Folders) -> bytes:
    """Return the file of a function called `orders` with one version."""
    signer = Ed25519Signer(bytes(range(32)))
    plan = read_draft(files)
    locked = lock(plan, folders.cache)
    frozen = freeze(plan, locked)
    built = build(frozen, files, locked, folders)
    blobs = {digest_of(one): one for one in (frozen.manifest, locked.content, built.sbom, *files.values())}
    version = ArchivedVersion(
        number=1,
        digest=frozen.digest,
        files=tuple(ArchivedFile(path, digest_of(files[path]), len(files[path])) for path in sorted(files)),
        lock=digest_of(locked.content),
        sbom=digest_of(built.sbom),
    )
    archive = FunctionArchive(
        function={"name": "orders", "title": "Orders", "description": "", "labels": {}},
        versions=(version,),
        evidence=evidence_of(signer, "fn_orders", {1: frozen.digest}),
        signer=base64.b64encode(base64.b64decode(signer.public_key())).decode(),
    )
    return b"".join(write(archive, blobs.__getitem__))
