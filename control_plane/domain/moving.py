"""What leaves an Ingot and arrives at another: exports, the signed evidence with them, and origins.

Pure. Evidence says who approved which digest; it is signed where it was made
and believed only where that key is trusted. How files look is in
`services.function_archive`, signing in `adapters.cluster.attesting`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Final

from control_plane.domain.attestations import Envelope, read_envelope
from control_plane.domain.canonical import canonical_json
from control_plane.errors import Conflict, Invalid

__all__ = [
    "EVIDENCE_TYPE",
    "EvidenceStatement",
    "Export",
    "ExportKind",
    "ExportState",
    "GivenApproval",
    "ImportRefused",
    "Origin",
    "SignedEvidence",
    "VersionEvidence",
    "evidence_payload",
    "read_evidence",
]

EVIDENCE_TYPE: Final = "application/vnd.ingot.evidence.v1+json"
_MOST_VERSIONS: Final = 1_000
_MOST_APPROVALS: Final = 100


class ImportRefused(Invalid):
    """The file is not one that `ingot export` wrote, or was changed since."""

    code: ClassVar[str] = "import_refused"
    advice: ClassVar[str] = "Export the function again, and send the file as it is."


class ExportKind(StrEnum):
    """What is taken out."""

    # A function with versions, as one file.
    FUNCTION = "function"
    # One release as a resource that a cluster admits.
    RELEASE = "release"


class ExportState(StrEnum):
    """Where an export stands."""

    # The worker, which alone holds the key, has not signed it yet.
    WAITING = "waiting"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Export:
    """The wish to take something out, and what the worker signed for it."""

    id: str
    organization: str
    project: str
    function: str
    kind: ExportKind
    # Of versions, or of the one release.
    numbers: tuple[int, ...]
    created_by: str
    created_ms: int
    # Where a release is to run: the resource's namespace and name.
    namespace: str = ""
    name: str = ""
    state: ExportState = ExportState.WAITING
    # Why it is refused: a word for programs and a sentence for people.
    reason: str = ""
    message: str = ""
    # The Function resource of a release.
    resource: Mapping[str, Any] = field(default_factory=dict)
    # The envelope of the evidence, and base64 of the public key that signed both.
    evidence: Mapping[str, Any] = field(default_factory=dict)
    signer: str = ""
    done_ms: int = 0

    def signed(
        self, resource: Mapping[str, Any], evidence: Mapping[str, Any], signer: str, now_ms: int
    ) -> Export:
        """Return it with what the worker made."""
        self._only_waiting()
        done = replace(self, resource=resource, evidence=evidence, signer=signer)
        return replace(done, state=ExportState.READY, done_ms=now_ms)

    def refused(self, reason: str, message: str, now_ms: int) -> Export:
        """Return it with why nothing was signed."""
        self._only_waiting()
        done = replace(self, reason=reason, message=message[:1_000])
        return replace(done, state=ExportState.REFUSED, done_ms=now_ms)

    def _only_waiting(self) -> None:
        if self.state is not ExportState.WAITING:
            raise Conflict(f"The export is {self.state} already.")


@dataclass(frozen=True, slots=True)
class GivenApproval:
    """One person's yes, as another Ingot recorded it."""

    email: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class VersionEvidence:
    """What an Ingot says of one version."""

    number: int
    digest: str
    # layer role -> digest
    layers: Mapping[str, str]
    # E-mail addresses of who wrote it since the last reviewed version.
    authors: tuple[str, ...]
    # Those that counted there, each of another person and none of an author.
    approvals: tuple[GivenApproval, ...]


@dataclass(frozen=True, slots=True)
class EvidenceStatement:
    """What an Ingot says of a function. Field names are those in the signed JSON."""

    organization: str
    # Its name, for people.
    organization_name: str
    function: str
    name: str
    # Of the layers' machine code.
    platform: str
    issued_ms: int
    versions: tuple[VersionEvidence, ...]

    def of(self, digest: str) -> VersionEvidence | None:
        """Return what is said of a digest."""
        return next((one for one in self.versions if one.digest == digest), None)


@dataclass(frozen=True, slots=True)
class SignedEvidence:
    """Evidence with the envelope that it was read from, whose signature is not checked here."""

    statement: EvidenceStatement
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an imported version came from and who vouched for it there."""

    # Of the version here.
    version: str
    organization: str
    function: str
    # Its digest, there and here.
    digest: str
    # There: the organization's id and name, the function's id and name, the version's number.
    source_organization: str
    source_organization_name: str
    source_function: str
    source_name: str
    source_number: int
    # Base64 of the public key that signed, and the name under which it was trusted; empty if it was not.
    signer: str
    trusted_as: str
    approvals: tuple[GivenApproval, ...]
    # The envelope, so that anybody can check it again.
    evidence: Mapping[str, Any]
    imported_by: str
    imported_ms: int

    def counting(self, since_ms: int) -> int:
        """Return how many approvals count here that were given after a moment; none without trust."""
        return sum(one.at_ms > since_ms for one in self.approvals) if self.trusted_as else 0


def evidence_payload(statement: EvidenceStatement) -> bytes:
    """Return the one byte string that is signed for a statement."""
    return canonical_json(asdict(statement))


def read_evidence(document: Any) -> SignedEvidence:
    """Return what an envelope's document says. Raises ValueError; the signature is for others to check."""
    envelope = read_envelope(document, EVIDENCE_TYPE)
    try:
        fields = json.loads(envelope.payload)
    except (ValueError, RecursionError):
        raise ValueError("its payload is not JSON") from None
    plain = _exactly(fields, EvidenceStatement)
    listed = _list(plain["versions"], _MOST_VERSIONS)
    statement = EvidenceStatement(**plain | {"versions": tuple(_version(one) for one in listed)})
    for name in ("organization", "organization_name", "function", "name", "platform"):
        _text(getattr(statement, name))
    _count(statement.issued_ms)
    if evidence_payload(statement) != envelope.payload:
        # One statement has one byte string, so that nobody can say the same in two ways.
        raise ValueError("its payload is not in canonical form")
    return SignedEvidence(statement, envelope)


def _version(fields: Any) -> VersionEvidence:
    plain = _exactly(fields, VersionEvidence)
    layers = plain["layers"]
    if not isinstance(layers, dict) or len(layers) > 10:
        raise ValueError("its layers are no object")
    approvals = tuple(
        GivenApproval(_text(one["email"]), _count(one["at_ms"]))
        for one in (_exactly(each, GivenApproval) for each in _list(plain["approvals"], _MOST_APPROVALS))
    )
    authors = tuple(_text(one) for one in _list(plain["authors"], _MOST_VERSIONS))
    known = [one.email.lower() for one in approvals]
    if len(set(known)) != len(known) or {one.lower() for one in authors} & set(known):
        raise ValueError("it counts an approval of an author, or one person twice")
    return VersionEvidence(
        number=_count(plain["number"]),
        digest=_text(plain["digest"]),
        layers={_text(role): _text(digest) for role, digest in layers.items()},
        authors=authors,
        approvals=approvals,
    )


def _exactly(fields: Any, kind: type[Any]) -> dict[str, Any]:
    wanted = kind.__dataclass_fields__.keys()
    if not isinstance(fields, dict) or fields.keys() != wanted:
        raise ValueError(f"it does not have exactly the fields {', '.join(wanted)}")
    return fields


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"it has no list of at most {most} where one belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 300 or not value.isprintable():
        raise ValueError("it has no short text where one belongs")
    return value


def _count(value: Any) -> int:
    # True is an int to Python, not to whoever signed it.
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("it has no number where one belongs")
    return value
