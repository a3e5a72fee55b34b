"""When what nothing needs any more may be removed.

Content is written before the row that needs it, and rows may name content that
was there already. So content goes only when it is old, when nothing named it a
whole grace ago, and when nothing names it now. Reading and removing happen elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["DAY_MS", "HOUR_MS", "Content", "Judgement", "Removal", "judge"]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Content:
    """A blob or an unpacked layer."""

    # "blob" or "layer"
    kind: str
    # sha256:…
    digest: str
    size: int

    @property
    def key(self) -> tuple[str, str]:
        """What it is remembered by."""
        return self.kind, self.digest


@dataclass(frozen=True, slots=True)
class Removal:
    """What a clean-up removed, or would remove, of one kind."""

    kind: str
    count: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a look at all unneeded content decides."""

    # Unneeded for the whole grace: to be removed now.
    doomed: tuple[Content, ...]
    # Seen unneeded for the first time.
    noticed: tuple[Content, ...]
    # Needed again, or gone: their time begins anew if they are ever unneeded again.
    forgotten: tuple[tuple[str, str], ...]


def judge(
    unneeded: Collection[Content], since_ms: Mapping[tuple[str, str], int], now_ms: int, grace_ms: int
) -> Judgement:
    """Decide about content that is old and that nothing names now; `since_ms` is what earlier looks saw."""
    present = {content.key for content in unneeded}
    return Judgement(
        doomed=tuple(one for one in unneeded if since_ms.get(one.key, now_ms) <= now_ms - grace_ms),
        noticed=tuple(one for one in unneeded if one.key not in since_ms),
        forgotten=tuple(key for key in since_ms if key not in present),
    )
