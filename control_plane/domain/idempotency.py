"""Repeating a request with the same key: what is remembered of the first attempt, and what follows.

Only the rule lives here; how a request is fingerprinted is the edge's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from control_plane.errors import Conflict, Invalid

__all__ = ["KEPT_MS", "Attempt", "KeyInUse", "KeyReused"]

KEPT_MS: Final = 24 * 3_600_000
# An attempt that began this long ago and never ended died with its process.
_ABANDONED_MS: Final = 15 * 60_000


class KeyReused(Invalid):
    """The key was used with another request."""

    code: ClassVar[str] = "idempotency_key_reused"


class KeyInUse(Conflict):
    """The first request with this key has not ended yet."""

    code: ClassVar[str] = "idempotency_key_in_use"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The first request with a key, in one organization and by one user."""

    organization: str
    user: str
    key: str
    # SHA-256 of method, path and body
    fingerprint: str
    created_ms: int
    # 0 while it runs.
    status: int = 0
    # The answer, sealed: it may show a key's text, which is stored nowhere else.
    answer: str = ""

    def repeated(self, fingerprint: str, now_ms: int) -> bool:
        """Say whether the stored answer is this request's; False lets it run anew.

        Raises KeyReused for another request and KeyInUse while the first runs.
        """
        if now_ms >= self.created_ms + KEPT_MS:
            return False
        if fingerprint != self.fingerprint:
            raise KeyReused(
                "This Idempotency-Key was used with another request.",
                field="Idempotency-Key",
                hint="Use a new key for each new request.",
            )
        if self.status:
            return True
        if now_ms < self.created_ms + _ABANDONED_MS:
            raise KeyInUse(
                "The first request with this Idempotency-Key still runs.",
                hint="Wait a moment, then repeat it unchanged.",
            )
        return False

    def ended(self, status: int, answer: str) -> Attempt:
        """Return it with its answer."""
        return replace(self, status=status, answer=answer)
