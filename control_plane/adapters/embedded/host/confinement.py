"""Asks the kernel whether an instance is confined, before it goes on.

A warm template has run user code, so its word that an instance is confined is
worth nothing. What is asked is the sandbox package's, which lies beside the
templates and is loaded from the configured folder.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

__all__ = ["Confinement"]

# The template's own filter and the instance's.
_FILTERS = 2


class Confinement:
    """The check of instances that warm templates start."""

    def __init__(self, sandbox: Path, isolation: str) -> None:
        if str(sandbox) not in sys.path:
            sys.path.append(str(sandbox))
        self._verify: Any = importlib.import_module("ingot_sandbox.verify")
        self._isolation = isolation

    def missing(self, pid: int) -> str:
        """Return what is missing as a sentence; empty when nothing is, or when the process has ended."""
        try:
            found: list[str] = self._verify.unconfined(pid, self._isolation, _FILTERS)
        except ProcessLookupError:
            return ""
        return "; ".join(found)
