"""What a container serves: the version's manifest in the image, and what the environment adds to it.

The manifest is the one whose digest was approved. Settings and secrets come as
variables of their own names; only names that the manifest lists are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["port", "read_spec"]

# The shim lies beside what it serves: /opt/ingot in an image.
_ROOT = Path(__file__).parents[2]
_PORT = 8080


def read_spec(environment: Mapping[str, str], root: Path = _ROOT) -> dict[str, Any]:
    """Return the spec of this container's one instance. Raises OSError or ValueError."""
    manifest = json.loads((root / "version" / "manifest.json").read_bytes())
    contract = manifest["contract"]
    limits = dict(manifest["limits"])
    for name in ("concurrency", "timeout_ms"):
        limits[name] = _whole(environment, f"INGOT_{name.upper()}", limits[name])
    paths = {role: str(root / role) for role in ("function", "deps") if (root / role).is_dir()}
    return {
        "kind": manifest["kind"],
        "handler": manifest["handler"],
        "streaming": manifest["streaming"],
        "limits": limits,
        "body_limit": manifest["gateway"]["body_limit"],
        "input_schema": contract["input"],
        "output_schema": contract["output"],
        "paths": paths,
        "validator": str(root / "runtime"),
        "hop": _hop(environment),
        "function": environment.get("INGOT_FUNCTION", ""),
        "version": environment.get("INGOT_VERSION", ""),
        "settings": _values(environment, manifest["settings"]),
        "secrets": _values(environment, manifest["secrets"]),
    }


def port(environment: Mapping[str, str]) -> int:
    """Return the port to listen on."""
    return _whole(environment, "PORT", _PORT)


def _hop(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return whose tokens a call must carry, and for which function; None: calls need none."""
    if "INGOT_HOP_KEYS" not in environment:
        return None
    # Set but empty lets nobody in, which is what an author's own value of that name would do as well.
    return {
        "function": environment.get("INGOT_HOP_FUNCTION", ""),
        "keys": environment["INGOT_HOP_KEYS"].split(),
    }


def _values(environment: Mapping[str, str], names: list[str]) -> dict[str, str]:
    return {name: environment[name] for name in names if name in environment}


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) < 10_000_000):
        raise ValueError(f"{name} is {text[:40]!r}, not a whole number")
    return int(text)
