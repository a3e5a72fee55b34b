"""Previews: a draft or version that its author can call before anybody has reviewed it.

A preview is never live: it has a path, a key, a server and a target of its
own, sees test values only, and ends by itself when nobody works on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.canonical import digest_of
from control_plane.domain.functions import Declaration

__all__ = ["IDLE_MS", "MOST_OF_A_FUNCTION", "Preview"]

# Without a reload or a sign of life for so long, it ends.
IDLE_MS: Final = 30 * 60_000
MOST_OF_A_FUNCTION: Final = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """What one person previews of one function: its draft, or one version."""

    id: str
    organization: str
    project: str
    function: str
    user: str
    # Number of the version; 0 for the draft.
    number: int
    # Revision of the draft that runs; 0 for a version.
    revision: int
    digest: str
    declaration: Declaration
    # layer role -> digest
    layers: Mapping[str, str]
    # name -> id of a test value
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    key_sha256: str
    created_ms: int
    updated_ms: int
    expires_ms: int

    @property
    def tag(self) -> str:
        """What stands behind the function's name in the path: the same for one person each time."""
        what = f"v{self.number}" if self.number else "draft"
        return f"{what}-{self.user[-8:]}"

    @property
    def target(self) -> str:
        """The id of its target. New code is a change of this one target, so no route changes with it."""
        return "t" + digest_of({"preview": self.id}).removeprefix("sha256:")[:16]

    def alive(self, now_ms: int) -> bool:
        """Say whether it still runs."""
        return now_ms < self.expires_ms

    def renewed(self, now_ms: int) -> Preview:
        """Return it with its whole time ahead again; before half of it is over nothing changes."""
        if self.expires_ms - now_ms > IDLE_MS // 2:
            return self
        return replace(self, expires_ms=now_ms + IDLE_MS)
