"""Decides whether a Function may run: its signature, its place, its epoch, and what was taken down.

Pure but for the arithmetic of signatures. The rules themselves are in
`control_plane.domain.attestations`, which the release service shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from control_plane.domain.attestations import (
    RELEASE_TYPE,
    TAKEDOWN_TYPE,
    Admitted,
    Envelope,
    Place,
    Refusal,
    ReleaseStatement,
    TakedownStatement,
    read_envelope,
    refusal_of,
    release_statement,
    takedown_statement,
    workload_digest,
)
from control_plane.signatures import signed_by
from operators.resources import names
from operators.trust import TrustedKey

__all__ = [
    "Verdict",
    "admission_of",
    "admitted_after",
    "judge",
    "place_of",
    "read_admitted",
    "read_takedown",
    "still_admissible",
    "taken_down_after",
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a resource may run as it is."""

    statement: ReleaseStatement | None = None
    refusal: Refusal | None = None


def judge(body: Mapping[str, Any], keys: Sequence[TrustedKey], known: Admitted, now: datetime) -> Verdict:
    """Return the verdict about a Function resource, given what the cluster remembers of its function."""
    spec, namespace = body["spec"], str(body["metadata"]["namespace"])
    if "attestation" not in spec:
        message = "It carries no attestation; `ingot release export` writes one with it."
        return Verdict(refusal=Refusal("AttestationMissing", message))
    try:
        envelope = read_envelope(spec["attestation"], RELEASE_TYPE)
        signer = _signer(envelope, [key for key in keys if key.speaks_for(namespace, now)])
        if signer is None:
            message = f"No key that is trusted for namespace {namespace} signed the attestation."
            return Verdict(refusal=Refusal("NotTrusted", message))
        statement = release_statement(envelope.payload)
        place = place_of(body)
    except ValueError as error:
        return Verdict(refusal=Refusal("AttestationMalformed", f"The attestation cannot be used: {error}."))
    return Verdict(statement, refusal_of(statement, place, known, signer.approvals))


def place_of(body: Mapping[str, Any]) -> Place:
    """Return what the resource says of itself. Raises ValueError when it has no canonical form."""
    spec, meta = body["spec"], body["metadata"]
    return Place(
        function=str(spec.get("function", "")),
        organization=str(spec.get("organization", "")),
        project=str(spec.get("project", "")),
        namespace=str(meta["namespace"]),
        name=str(meta["name"]),
        workload=workload_digest(spec),
        versions=tuple(str(one.get("digest", "")) for one in spec.get("versions", ())),
    )


def still_admissible(spec: Mapping[str, Any], known: Admitted, namespace: str, name: str) -> bool:
    """Say whether what was admitted last may go on while the resource itself is refused."""
    if (known.namespace, known.name) != (namespace, name) or known.epoch < known.minimum:
        return False
    return not {str(one.get("digest", "")) for one in spec.get("versions", ())} & set(known.down)


def admitted_after(known: Admitted, statement: ReleaseStatement) -> Admitted:
    """Return what the cluster remembers once a release was admitted."""
    return replace(
        known,
        namespace=statement.namespace,
        name=statement.name,
        epoch=statement.epoch,
        workload=statement.workload,
    )


def read_takedown(
    body: Mapping[str, Any], keys: Sequence[TrustedKey], known: Admitted, now: datetime
) -> TakedownStatement | Refusal:
    """Return what a Tombstone says about its function, or why it does not count.

    A key for some namespaces speaks for functions there; of a function that never ran here only a key
    for all of them can.
    """
    spec = body["spec"]
    try:
        envelope = read_envelope(spec.get("statement"), TAKEDOWN_TYPE)
        if _signer(envelope, [key for key in keys if key.speaks_for(known.namespace, now)]) is None:
            return Refusal("NotTrusted", "No key that is trusted for this function signed the statement.")
        statement = takedown_statement(envelope.payload)
    except ValueError as error:
        return Refusal("AttestationMalformed", f"The statement cannot be used: {error}.")
    if statement.function != spec.get("function"):
        return Refusal("Moved", f"The statement is about {statement.function}.")
    if statement.epoch < known.takedown_epoch:
        return Refusal("Replayed", f"A statement with epoch {known.takedown_epoch} was read already.")
    return statement


def taken_down_after(known: Admitted, statement: TakedownStatement) -> Admitted:
    """Return what the cluster remembers once a takedown was read; an older one changes nothing."""
    if statement.epoch <= known.takedown_epoch:
        return known
    return replace(
        known,
        takedown_epoch=statement.epoch,
        # Reinstating names fewer versions, but never brings old releases back.
        minimum=max(known.minimum, statement.minimum),
        down=tuple(sorted(set(statement.versions))),
    )


def read_admitted(body: Mapping[str, Any] | None) -> Admitted:
    """Return what an Admission object remembers; nothing when there is none."""
    if body is None:
        return Admitted()
    spec = body["spec"]
    fields = {name: spec[_camel(name)] for name in asdict(Admitted()) if _camel(name) in spec}
    return Admitted(**fields | {"down": tuple(spec.get("down", ()))})


def admission_of(
    function: str, known: Admitted, fence: int, spec: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the Admission object that remembers this; `spec` is what was admitted last."""
    document: dict[str, Any] = {"function": function, "fence": fence}
    document |= {_camel(name): value for name, value in asdict(known).items()} | {"down": list(known.down)}
    if spec is not None:
        document["admitted"] = spec
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Admission",
        "metadata": {"name": names.admission(function)},
        "spec": document,
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _signer(envelope: Envelope, keys: Sequence[TrustedKey]) -> TrustedKey | None:
    """Return the key that signed; of several the one that asks for the most approvals."""
    signed = [key for key in keys if signed_by(envelope, key.public)]
    return max(signed, key=lambda key: key.approvals, default=None)
