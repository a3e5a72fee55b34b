"""Finds the interpreter of a runtime: the running one first, then the PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["find_interpreter", "running_runtime"]


def running_runtime() -> str:
    """Return the runtime that this process's own interpreter serves."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def find_interpreter(runtime: str) -> str | None:
    """Return the absolute path of the runtime's interpreter, None when this machine has none."""
    if not runtime.startswith("python"):
        return None
    if runtime == running_runtime():
        # The environment's own link would bring its site-packages along.
        base = Path(sys.base_prefix) / "bin" / runtime
        return str(base if base.exists() else Path(sys.executable).resolve())
    for folder in os.get_exec_path():
        found = Path(folder) / runtime
        if found.is_absolute() and os.access(found, os.X_OK):
            return str(found.resolve())
    return None
