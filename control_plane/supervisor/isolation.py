"""Asks the sandbox what this machine can isolate, in a process of its own, and chooses the level."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from control_plane.errors import Invalid, Unavailable

__all__ = ["choose_isolation", "probe_isolation"]

_SANDBOX = Path(__file__).resolve().parents[2] / "templates" / "sandbox" / "ingot_sandbox" / "__main__.py"
_LEVELS = ("namespaces", "landlock")


def probe_isolation() -> dict[str, Any]:
    """Return {"levels": […], "facts": [{"name", "ok", "value", "sentence"}]}.

    The probe forks and enters namespaces, which this process must not do itself.
    """
    command = [sys.executable, "-I", "-S", str(_SANDBOX), "probe"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise Unavailable(f"The isolation probe failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def choose_isolation(wanted: str) -> str:
    """Return the level to run at. Raises when it is not to be had; never weakens a wish silently."""
    if wanted == "none":
        return wanted
    if wanted not in ("auto", *_LEVELS):
        raise Invalid(
            f"host.isolation is “{wanted}”.",
            field="host.isolation",
            hint="Use auto, namespaces, landlock or none.",
        )
    probed = probe_isolation()
    for level in _LEVELS if wanted == "auto" else (wanted,):
        if level in probed["levels"]:
            return level
    reasons = " ".join(
        fact["sentence"] for fact in probed["facts"] if fact["name"] in _LEVELS and not fact["ok"]
    )
    raise Unavailable(
        f"This machine cannot isolate functions. {reasons}",
        hint="To run unisolated, with code that you trust like your own: ingot up --insecure-no-sandbox",
    )
