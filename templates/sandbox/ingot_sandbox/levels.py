"""Which isolation levels this machine gives this user, as facts with a sentence each."""

from __future__ import annotations

from typing import Any

__all__ = ["choose", "probe"]


def probe() -> dict[str, Any]:
    """Return {"levels": [...], "facts": [{"name", "ok", "value", "sentence"}, ...]}."""
    raise NotImplementedError


def choose(wanted: str = "") -> str:
    """Return the strongest level, or the wanted one. Raises IsolationUnavailable."""
    raise NotImplementedError
