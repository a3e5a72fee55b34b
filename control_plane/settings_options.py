"""How a setting is declared: its default, and the words that the docs page and `settings explain` show."""

from __future__ import annotations

from dataclasses import field
from typing import Any

__all__ = ["option"]


def option(default: Any, text: str) -> Any:
    """Return a dataclass field with this default; `text` says meaning, unit and the default's reason."""
    return field(default=default, metadata={"help": text})
