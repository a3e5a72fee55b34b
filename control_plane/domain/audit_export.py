"""An audit chain as JSON lines that prove themselves: written by the server, verified anywhere.

First a header, then every entry, then the signed checkpoints, last a seal: a
checkpoint of the moment of the export, so that its end cannot be cut. Pure;
whoever verifies brings the check of a signature and the key to trust.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from control_plane.domain.audit import AuditEntry, Checkpoint, Finding, verify_chain

__all__ = ["ExportCheck", "entry_line", "header_line", "proof_lines", "verify_export"]

FORMAT: Final = 1

# (public key, message, signature) -> whether the key made it
Verifies = Callable[[str, bytes, str], bool]


@dataclass(slots=True)
class ExportCheck:
    """What verifying an export found; nothing is wrong when there are no findings."""

    organization: str = ""
    entries: int = 0
    checkpoints: int = 0
    # The public key that every signature was checked with.
    key: str = ""
    sealed_at_ms: int = 0
    findings: list[Finding] = field(default_factory=list)


def header_line(organization: str, key: str, entries: int) -> str:
    """Return the first line."""
    return _line(
        {"kind": "header", "format": FORMAT, "organization": organization, "key": key, "entries": entries}
    )


def entry_line(entry: AuditEntry) -> str:
    """Return an entry's line."""
    return _line({"kind": "entry", **asdict(entry)})


def proof_lines(checkpoints: Iterable[Checkpoint], seal: Checkpoint) -> Iterator[str]:
    """Return the lines that sign the chain."""
    for checkpoint in checkpoints:
        yield _line({"kind": "checkpoint", **asdict(checkpoint)})
    yield _line({"kind": "seal", **asdict(seal)})


def verify_export(lines: Iterable[str], verifies: Verifies, trusted: str = "") -> ExportCheck:
    """Check every hash, every signature and that nothing is missing at either end.

    With `trusted`, signatures count only when that public key made them; without
    it the file's own key is taken, which proves nothing to whoever may have written the file.
    """
    found = ExportCheck(key=trusted)
    entries: list[AuditEntry] = []
    signed: list[Checkpoint] = []
    seals: list[Checkpoint] = []
    for number, line in enumerate(lines, start=1):
        try:
            kind, value = _parsed(line)
        except (ValueError, TypeError, KeyError):
            found.findings.append(Finding("damaged", number, f"Line {number} is no line of an export."))
            continue
        if kind == "header":
            _take_header(found, value, number, trusted)
        elif kind == "entry":
            entries.append(value)
        else:
            (seals if kind == "seal" else signed).append(value)
    found.entries, found.checkpoints = len(entries), len(signed)
    good = [one for one in (*signed, *seals) if _proven(found, one, verifies)]
    found.findings.extend(verify_chain(entries, good))
    _check_ends(found, entries, [one for one in seals if one in good])
    return found


def _take_header(found: ExportCheck, value: Mapping[str, Any], number: int, trusted: str) -> None:
    if number != 1 or value["format"] != FORMAT:
        found.findings.append(Finding("damaged", number, "The header is not the first line of format 1."))
    found.organization, found.key = str(value["organization"]), trusted or str(value["key"])
    if trusted and value["key"] != trusted:
        found.findings.append(Finding("key", number, "The export names another key than the trusted one."))


def _proven(found: ExportCheck, checkpoint: Checkpoint, verifies: Verifies) -> bool:
    if checkpoint.organization != found.organization:
        text = f"The checkpoint of entry {checkpoint.sequence} is another organization's."
    elif not verifies(found.key, checkpoint.signed_bytes(), checkpoint.signature):
        text = f"The signature over entry {checkpoint.sequence} is not the key's."
    else:
        return True
    found.findings.append(Finding("signature", checkpoint.sequence, text))
    return False


def _check_ends(found: ExportCheck, entries: Sequence[AuditEntry], seals: Sequence[Checkpoint]) -> None:
    last = entries[-1].sequence if entries else 0
    if len(seals) != 1:
        found.findings.append(
            Finding("cut", last, "The export has no valid seal, so its end may be missing.")
        )
    elif seals[0].sequence != last:
        text = f"The seal is of entry {seals[0].sequence}, the export ends at {last}."
        found.findings.append(Finding("cut", last, text))
    else:
        found.sealed_at_ms = seals[0].at_ms
    for entry in entries:
        if entry.organization != found.organization:
            text = f"Entry {entry.sequence} is another organization's."
            found.findings.append(Finding("rewritten", entry.sequence, text))


def _parsed(line: str) -> tuple[str, Any]:
    raw = json.loads(line)
    kind = raw.pop("kind")
    if kind == "header":
        return kind, {name: raw[name] for name in ("format", "organization", "key")}
    if kind == "entry":
        return kind, AuditEntry(**raw)
    if kind in {"checkpoint", "seal"}:
        return kind, Checkpoint(**raw)
    raise ValueError(kind)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
