"""The audit trail: reading it, signing checkpoints outside the database, verifying both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.audit import GENESIS, AuditEntry, Checkpoint, Finding, verify_chain
from control_plane.domain.audit_export import entry_line, header_line, proof_lines
from control_plane.domain.identity import Actor
from control_plane.ports import Anchor, Signer
from control_plane.services.changes import Changes, Page
from control_plane.store.journal_rows import AuditFilter

__all__ = ["Audit", "AuditFilter", "Verified"]

_EVERY_MS: Final = 3_600_000
_EVERY_ENTRIES: Final = 1_000
_EXPORTED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying a chain found; nothing when it is intact."""

    organization: str
    entries: int
    checkpoints: int
    findings: tuple[Finding, ...]


class Audit:
    """Use cases about the audit chains."""

    def __init__(self, changes: Changes, signer: Signer, anchor: Anchor) -> None:
        self._changes = changes
        self._signer = signer
        self._anchor = anchor

    def entries(
        self,
        actor: Actor,
        wanted: AuditFilter | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> Page[AuditEntry]:
        """Return entries of the actor's organization that fit; `next` is a sequence number.

        Whose entries is said by id or e-mail address; an address that nobody has did nothing.
        """
        wanted = wanted or AuditFilter()
        with self._changes.read(actor) as view:
            view.require_organization(Permission.AUDIT_READ)
            if "@" in wanted.actor:
                known = view.unit.identity.user_by_email(wanted.actor.strip().lower())
                wanted = replace(wanted, actor=known.id if known else wanted.actor)
            rows = view.unit.audit.search(
                actor.organization, wanted, after, limit + 1, newest_first=newest_first
            )
        return Page(rows[:limit], str(rows[limit - 1].sequence) if len(rows) > limit else "")

    def verify(self, actor: Actor) -> Verified:
        """Recompute the chain and compare it with every signed checkpoint."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.AUDIT_READ)
        return self._verify(actor.organization)

    def export(self, actor: Actor) -> Iterator[str]:
        """Return the organization's whole chain as lines that prove themselves (domain.audit_export).

        Rights and the seal are decided at once, the entries are read as the lines are taken.
        """
        with self._changes.read(actor) as view:
            view.require_organization(Permission.AUDIT_READ)
            heads = {one: (sequence, head) for one, sequence, head in view.unit.audit.heads()}
            now_ms = view.now_ms
        sequence, head = heads.get(actor.organization, (0, GENESIS))
        checkpoints, _ = self._checkpoints()
        own = tuple(one for one in checkpoints if one.organization == actor.organization)
        last = checkpoints[-1].signature if checkpoints else ""
        plain = Checkpoint(actor.organization, sequence, head, now_ms, last, "")
        seal = replace(plain, signature=self._signer.sign(plain.signed_bytes()))
        known = tuple(one for one in own if one.sequence <= sequence)
        return self._export(actor.organization, sequence, known, seal)

    def _export(
        self, organization: str, entries: int, known: tuple[Checkpoint, ...], seal: Checkpoint
    ) -> Iterator[str]:
        yield header_line(organization, self._signer.public_key(), entries)
        after = 0
        while after < entries:
            with self._changes.read(Actor.system(organization)) as view:
                rows = view.unit.audit.entries(organization, after, _EXPORTED_AT_ONCE)
            for row in rows:
                if row.sequence <= entries:
                    yield entry_line(row)
            if not rows:
                break
            after = rows[-1].sequence
        yield from proof_lines(known, seal)

    def public_key(self, actor: Actor) -> str:
        """Return the key that checkpoints and exports are signed with, to be kept elsewhere."""
        with self._changes.read(actor) as view:
            view.require_organization(Permission.AUDIT_READ)
        return self._signer.public_key()

    def verify_all(self) -> tuple[Verified, ...]:
        """Verify every chain, those that only a checkpoint still knows too."""
        known = {checkpoint.organization for checkpoint in self._checkpoints()[0]}
        with self._changes.read(Actor.system("")) as view:
            known |= {organization for organization, _, _ in view.unit.audit.heads()}
        return tuple(self._verify(organization) for organization in sorted(known))

    def checkpoint(self, *, force: bool = False) -> int:
        """Sign the heads of the chains that grew enough or long enough ago; return how many.

        The worker calls this often; it costs one small read when nothing is due.
        """
        signed = 0
        checkpoints, _ = self._checkpoints()
        latest = {one.organization: one for one in checkpoints}
        last = checkpoints[-1].signature if checkpoints else ""
        with self._changes.read(Actor.system("")) as view:
            heads, now_ms = view.unit.audit.heads(), view.now_ms
        for organization, sequence, head in heads:
            before = latest.get(organization)
            grown = sequence - (before.sequence if before else 0)
            late = now_ms - (before.at_ms if before else 0) >= _EVERY_MS
            if grown and (force or late or grown >= _EVERY_ENTRIES):
                plain = Checkpoint(organization, sequence, head, now_ms, last, "")
                done = replace(plain, signature=self._signer.sign(plain.signed_bytes()))
                self._anchor.append(json.dumps(asdict(done), sort_keys=True))
                last = done.signature
                signed += 1
        return signed

    def _verify(self, organization: str) -> Verified:
        checkpoints, damaged = self._checkpoints()
        own = tuple(one for one in checkpoints if one.organization == organization)
        with self._changes.read(Actor.system(organization)) as view:
            entries = view.unit.audit.entries(organization, 0, None)
        return Verified(organization, len(entries), len(own), (*damaged, *verify_chain(entries, own)))

    def _checkpoints(self) -> tuple[tuple[Checkpoint, ...], tuple[Finding, ...]]:
        """Return the checkpoints whose signatures hold, and what is wrong with the others."""
        good: list[Checkpoint] = []
        findings: list[Finding] = []
        previous = ""
        for number, line in enumerate(self._anchor.lines(), start=1):
            try:
                one = Checkpoint(**json.loads(line))
                signed = self._signer.verify(one.signed_bytes(), one.signature)
            except (ValueError, TypeError):
                signed = False
            if not signed:
                findings.append(Finding("checkpoint", number, f"Checkpoint line {number} is damaged."))
                continue
            if one.previous != previous:
                findings.append(
                    Finding("checkpoint", number, f"Checkpoint line {number} lacks the one before.")
                )
            previous = one.signature
            good.append(one)
        return tuple(good), tuple(findings)
