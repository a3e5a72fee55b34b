"""What the release service signs and the cluster checks: one release's right to run at one place.

Pure: statements as bytes, the DSSE frame around them, and the rules by which
one is refused. Making and checking signatures needs a library, so it happens
outside: signing in `adapters.cluster`, checking in `operators.attestation`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from control_plane.domain.canonical import canonical_json, digest_of

__all__ = [
    "RELEASE_TYPE",
    "TAKEDOWN_TYPE",
    "Admitted",
    "Envelope",
    "Place",
    "Refusal",
    "ReleaseStatement",
    "TakedownStatement",
    "enveloped",
    "frame",
    "key_id",
    "payload_of",
    "read_envelope",
    "refusal_of",
    "release_statement",
    "takedown_statement",
    "workload_digest",
]

RELEASE_TYPE: Final = "application/vnd.ingot.release.v1+json"
TAKEDOWN_TYPE: Final = "application/vnd.ingot.takedown.v1+json"

# Far above the largest statement; what is longer was not made here.
_LARGEST: Final = 200_000
# Not part of what was approved: the envelope itself, and who writes the resource.
_UNSIGNED: Final = frozenset({"attestation", "managedBy"})


@dataclass(frozen=True, slots=True)
class ReleaseStatement:
    """One release of one function may run at one place. Field names are those in the signed JSON."""

    function: str
    organization: str
    project: str
    namespace: str
    # Name of the resource.
    name: str
    # The release's digest as its reviewers and the audit trail know it.
    release: str
    # Digest over all that the resource asks for: images, limits, values, traffic, triggers.
    workload: str
    # How many people approved under the policy that was in force; 0 is unreviewed.
    approvals: int
    # Grows with each statement about the function.
    epoch: int


@dataclass(frozen=True, slots=True)
class TakedownStatement:
    """What may not run any more. The newest one counts as a whole, so a reinstated version is absent."""

    function: str
    # Grows with each takedown and reinstatement of the function.
    epoch: int
    # Statements about releases below it are refused.
    minimum: int
    # Digests of versions.
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it, as DSSE writes it down."""

    kind: str
    payload: bytes
    # (key id, signature)
    signatures: tuple[tuple[str, bytes], ...]

    def document(self) -> dict[str, Any]:
        """Return the envelope's JSON form."""
        return {
            "payloadType": self.kind,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": key, "sig": base64.b64encode(signature).decode()}
                for key, signature in self.signatures
            ],
        }


@dataclass(frozen=True, slots=True)
class Place:
    """What a resource says of itself: where it is and what it asks for."""

    function: str
    organization: str
    project: str
    namespace: str
    name: str
    workload: str
    # Digests of the versions that it would run.
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the cluster remembers of a function, also when its resource is gone."""

    namespace: str = ""
    name: str = ""
    # Of the newest release that was admitted, and what it asked for.
    epoch: int = 0
    workload: str = ""
    # Of the newest takedown.
    takedown_epoch: int = 0
    minimum: int = 0
    down: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something may not run: a word for programs and a sentence for people."""

    reason: str
    message: str


def workload_digest(spec: Mapping[str, Any]) -> str:
    """Return the digest over all of a resource's spec that was approved."""
    return digest_of({name: value for name, value in spec.items() if name not in _UNSIGNED})


def payload_of(statement: ReleaseStatement | TakedownStatement) -> tuple[str, bytes]:
    """Return the payload's type and the one byte string that is signed for it."""
    kind = RELEASE_TYPE if isinstance(statement, ReleaseStatement) else TAKEDOWN_TYPE
    return kind, canonical_json(asdict(statement))


def frame(kind: str, payload: bytes) -> bytes:
    """Return what a signature covers: DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def enveloped(kind: str, payload: bytes, public: str, sign: Callable[[bytes], str]) -> dict[str, Any]:
    """Return the document of a signed payload; `public` and what `sign` returns are base64 text."""
    signature = base64.b64decode(sign(frame(kind, payload)))
    return Envelope(kind, payload, ((key_id(base64.b64decode(public)), signature),)).document()


def key_id(public_key: bytes) -> str:
    """Return the short name of a raw public key; only a hint, trust is by the key itself."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def read_envelope(document: Any, kind: str) -> Envelope:
    """Return the envelope that a resource carries, which must be of this kind. Raises ValueError."""
    fields = document if isinstance(document, Mapping) else {}
    if fields.get("payloadType") != kind:
        raise ValueError(f"its payloadType is not {kind}")
    listed = fields.get("signatures")
    if not isinstance(listed, list) or not 1 <= len(listed) <= 10:
        raise ValueError("it does not have 1 to 10 signatures")
    signatures = []
    for one in listed:
        signature = one if isinstance(one, Mapping) else {}
        signatures.append((str(signature.get("keyid", "")), _decoded(signature.get("sig"))))
    return Envelope(kind, _decoded(fields.get("payload")), tuple(signatures))


def release_statement(payload: bytes) -> ReleaseStatement:
    """Return what a verified payload says. Raises ValueError."""
    fields = _fields(payload, ReleaseStatement)
    return ReleaseStatement(**fields)


def takedown_statement(payload: bytes) -> TakedownStatement:
    """Return what a verified payload says. Raises ValueError."""
    fields = _fields(payload, TakedownStatement)
    return TakedownStatement(**fields | {"versions": tuple(fields["versions"])})


def refusal_of(statement: ReleaseStatement, place: Place, known: Admitted, required: int) -> Refusal | None:
    """Return why a verified statement does not let this resource run; None when it does."""
    refusal = _elsewhere(statement, place) or _taken_down(statement, place, known)
    if refusal is None and _is_older(statement, place, known):
        return Refusal(
            "Replayed",
            f"The release has epoch {statement.epoch}, and epoch {known.epoch} was admitted already; "
            "go back by a rollback, which is a new release.",
        )
    if refusal is None and statement.approvals < required:
        return Refusal(
            "Unreviewed", f"It has {statement.approvals} approvals, and this namespace requires {required}."
        )
    return refusal


def _elsewhere(statement: ReleaseStatement, place: Place) -> Refusal | None:
    for name in ("function", "organization", "project", "namespace", "name"):
        attested, is_so = getattr(statement, name), getattr(place, name)
        if attested != is_so:
            message = f"The release was attested for {name} {attested}, and this resource has {is_so}."
            return Refusal("Moved", message)
    if statement.workload != place.workload:
        return Refusal("NotAttested", "The spec differs from what was attested; only a release changes it.")
    return None


def _taken_down(statement: ReleaseStatement, place: Place, known: Admitted) -> Refusal | None:
    down = sorted(set(place.versions) & set(known.down))
    if down:
        return Refusal("TakenDown", f"Version {down[0]} was taken down; a review can let it back.")
    if statement.epoch < known.minimum:
        return Refusal("TakenDown", f"Releases before epoch {known.minimum} were taken down.")
    return None


def _is_older(statement: ReleaseStatement, place: Place, known: Admitted) -> bool:
    """Say whether another release was admitted since, or another one has the same epoch."""
    same = (place.workload, place.namespace, place.name) == (known.workload, known.namespace, known.name)
    return statement.epoch < known.epoch or (statement.epoch == known.epoch and not same)


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > _LARGEST:
        raise ValueError("it has no base64 text where one belongs")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("it holds text that is not base64") from None


def _fields(payload: bytes, kind: type[ReleaseStatement | TakedownStatement]) -> dict[str, Any]:
    """Return the payload's fields when they are exactly the kind's, each of its type."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        raise ValueError("its payload is not JSON") from None
    types = {"int": int, "str": str, "tuple[str, ...]": list}
    wanted = {name: types[str(field.type)] for name, field in kind.__dataclass_fields__.items()}
    if not isinstance(fields, dict) or fields.keys() != wanted.keys():
        raise ValueError(f"its payload does not have exactly the fields {', '.join(wanted)}")
    for name, expected in wanted.items():
        # True is an int to Python, not to whoever signed it.
        if type(fields[name]) is not expected:
            raise ValueError(f"its payload's {name} is not of the right type")
    if not all(isinstance(one, str) for one in fields.get("versions", ())):
        raise ValueError("its payload's versions are not text")
    return fields
