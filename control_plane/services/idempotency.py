"""Lets a caller repeat a creating request without creating twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from control_plane.domain.idempotency import KEPT_MS, Attempt
from control_plane.domain.identity import Actor
from control_plane.ports import Sealer
from control_plane.services.changes import Changes

__all__ = ["Answer", "Idempotency"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to the first attempt."""

    status: int
    content_type: str
    body: str
    # What a sender goes on with: where the made thing is, and which state of it was shown.
    headers: Mapping[str, str] = field(default_factory=dict)


class Idempotency:
    """Use cases about repeated requests."""

    def __init__(self, changes: Changes, sealer: Sealer) -> None:
        self._changes = changes
        self._sealer = sealer

    def once(
        self, actor: Actor, key: str, fingerprint: str, work: Callable[[], Answer]
    ) -> tuple[Answer, bool]:
        """Return the answer of `work` and whether it is the first attempt's.

        The work's changes and the stored answer are one transaction: whatever
        breaks, a repeat finds either both or neither. Raises as `begin` does.
        """
        with self._changes.together(actor, "idempotency.once") as change:
            rows = change.unit.idempotency
            known = rows.get(actor.organization, actor.user, key)
            if known is not None and known.repeated(fingerprint, change.now_ms):
                return self._opened(known), True
            rows.drop_before(actor.organization, change.now_ms - KEPT_MS)
            answer = work()
            attempt = Attempt(actor.organization, actor.user, key, fingerprint, change.now_ms)
            rows.put(attempt.ended(answer.status, self._sealed(actor, answer)))
        return answer, False

    def begin(self, actor: Actor, key: str, fingerprint: str) -> Answer | None:
        """Return the answer of the first attempt, or None when this is the first one.

        For work that takes long and so cannot be one transaction with its answer.
        Raises KeyReused for another request with the key, KeyInUse while the
        first attempt runs.
        """
        with self._changes.change(actor, "idempotency.begin") as change:
            rows = change.unit.idempotency
            known = rows.get(actor.organization, actor.user, key)
            if known is not None and known.repeated(fingerprint, change.now_ms):
                return self._opened(known)
            rows.drop_before(actor.organization, change.now_ms - KEPT_MS)
            rows.put(Attempt(actor.organization, actor.user, key, fingerprint, change.now_ms))
        return None

    def end(self, actor: Actor, key: str, answer: Answer) -> None:
        """Remember the answer, sealed, for a day."""
        sealed = self._sealed(actor, answer)
        with self._changes.change(actor, "idempotency.end") as change:
            known = change.unit.idempotency.get(actor.organization, actor.user, key)
            if known is not None:
                change.unit.idempotency.put(known.ended(answer.status, sealed))

    def abandon(self, actor: Actor, key: str) -> None:
        """Forget an attempt that failed, so that a corrected one may use the key."""
        with self._changes.change(actor, "idempotency.abandon") as change:
            change.unit.idempotency.drop(actor.organization, actor.user, key)

    def _sealed(self, actor: Actor, answer: Answer) -> str:
        return self._sealer.seal(actor.organization, json.dumps(asdict(answer)).encode())

    def _opened(self, known: Attempt) -> Answer:
        return Answer(**json.loads(self._sealer.open(known.organization, known.answer)))
