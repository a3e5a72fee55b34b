"""The audit chain: entries, their hashes, checkpoints and what verifying finds.

Each entry holds the hash of the one before it in its organization's chain. A
chain alone cannot show that its tail was cut or that all of it was rewritten,
so signed checkpoints are kept outside the database and compared here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.canonical import canonical_json

__all__ = ["GENESIS", "AuditEntry", "Checkpoint", "Finding", "link", "verify_chain"]

GENESIS: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what. `details` never holds a secret, a key or a payload."""

    organization: str
    sequence: int
    id: str
    at_ms: int
    # user id, name, method, credential id, address
    actor: Mapping[str, str]
    # e.g. "review.approved"
    action: str
    # noun and id, e.g. "review/rev_01k…"
    subject: str
    # "done", "denied" or "failed"
    outcome: str
    request: str
    details: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: the chain had this many entries and ended in this hash."""

    organization: str
    sequence: int
    hash: str
    at_ms: int
    # Signature of the checkpoint before, so that checkpoints form a chain too.
    previous: str
    signature: str

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        fields = ("organization", "sequence", "hash", "at_ms", "previous")
        return canonical_json({name: getattr(self, name) for name in fields})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a chain."""

    # "edited", "missing", "reordered", "cut" or "rewritten"
    kind: str
    sequence: int
    message: str


def link(entry: AuditEntry) -> str:
    """Return the hash of an entry over all its fields but the hash itself."""
    fields = {name: getattr(entry, name) for name in AuditEntry.__dataclass_fields__ if name != "hash"}
    return hashlib.sha256(entry.previous.encode() + canonical_json(fields)).hexdigest()


def verify_chain(entries: Iterable[AuditEntry], checkpoints: Sequence[Checkpoint]) -> tuple[Finding, ...]:
    """Return everything wrong with a chain; `checkpoints` have proven signatures.

    Entries come in the order in which they are stored.
    """
    findings: list[Finding] = []
    anchors = {checkpoint.sequence: checkpoint for checkpoint in checkpoints}
    previous, last = GENESIS, 0
    for entry in entries:
        findings.extend(_check_entry(entry, previous, last))
        anchor = anchors.pop(entry.sequence, None)
        if anchor is not None and anchor.hash != entry.hash:
            message = f"Entry {entry.sequence} is not the one that was signed at {anchor.at_ms}."
            findings.append(Finding("rewritten", entry.sequence, message))
        previous, last = entry.hash, max(last, entry.sequence)
    for sequence in sorted(anchors):
        if sequence > last:
            message = f"A signed checkpoint saw entry {sequence}, the chain ends at {last}."
            findings.append(Finding("cut", sequence, message))
    return tuple(findings)


def _check_entry(entry: AuditEntry, previous: str, last: int) -> Iterable[Finding]:
    if entry.sequence <= last:
        yield Finding("reordered", entry.sequence, f"Entry {entry.sequence} follows entry {last}.")
    elif entry.sequence > last + 1:
        yield Finding("missing", last + 1, f"Entries {last + 1} to {entry.sequence - 1} are gone.")
    if link(entry) != entry.hash:
        yield Finding("edited", entry.sequence, f"Entry {entry.sequence} does not hash to its stored hash.")
    elif entry.previous != previous and entry.sequence == last + 1:
        yield Finding(
            "rewritten", entry.sequence, f"Entry {entry.sequence} does not follow the one before it."
        )
