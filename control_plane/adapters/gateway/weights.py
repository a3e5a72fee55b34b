"""Weighted choices as map entries: a hundred numbers, spread by prefixes, under an id that is their hash.

Pure; what is chosen between is the caller's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["content_id", "spread"]


def content_id(letter: str, content: str, digits: int = 12) -> str:
    """Return an id that is made anew whenever the content is another."""
    return letter + hashlib.sha256(content.encode()).hexdigest()[:digits]


def spread(weights_id: str, choices: Sequence[str]) -> dict[str, str]:
    """Spread the numbers 100 to 199 over as many choices; a decade with one choice is one prefix entry."""
    entries: dict[str, str] = {}
    for tens in range(10):
        decade = choices[tens * 10 : tens * 10 + 10]
        if len(set(decade)) == 1:
            entries[f"{weights_id}:1{tens}"] = decade[0]
        else:
            entries.update({f"{weights_id}:1{tens}{ones}": choice for ones, choice in enumerate(decade)})
    return entries
