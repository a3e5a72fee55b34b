"""Freezes a plan and its lock into a canonical manifest, whose SHA-256 is the version's digest.

Pure: no clock, no environment, no disk. Whatever the digest is to cover
stands in `manifest_of`; a change there is a new format number, because it
changes the digest of every draft.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import rfc8785

from builders.errors import BuildError
from builders.locked import Lock
from builders.plan import Plan
from builders.platforms import PLATFORMS

__all__ = ["Frozen", "freeze", "manifest_of"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Frozen:
    """A version's identity: the manifest in RFC 8785 form, and its digest."""

    manifest: bytes
    # "sha256:<hex>"
    digest: str


def freeze(plan: Plan, lock: Lock) -> Frozen:
    """Return the identity of a plan with its lock. The lock must have been made for this plan."""
    if plan.runtime not in ("", f"python{lock.python}") or lock.requirements != plan.requirements:
        raise BuildError(
            "lock_stale",
            "The lock was made for other dependencies or another runtime than the draft has now.",
            hint="Lock the draft again, look at what changed, then freeze.",
        )
    manifest = rfc8785.dumps(manifest_of(plan, lock))
    return Frozen(manifest, f"sha256:{hashlib.sha256(manifest).hexdigest()}")


def manifest_of(plan: Plan, lock: Lock) -> dict[str, Any]:
    """Return all that a version is, as plain values."""
    return {
        "format": FORMAT,
        "runtime": f"python{lock.python}",
        "kind": plan.kind,
        "handler": plan.handler,
        "streaming": plan.streaming,
        "limits": dict(plan.limits),
        "settings": list(plan.settings),
        "secrets": list(plan.secrets),
        "gateway": {
            "public": plan.public,
            "own_authentication": plan.own_authentication,
            "unsandboxed_page": plan.unsandboxed_page,
            "body_limit": plan.body_limit,
            "cors_origins": list(plan.cors_origins),
        },
        # Empty until functions may reach out and be triggered; in the digest from the start.
        "egress": [],
        "triggers": [],
        "contract": {"input": plan.input_schema, "output": plan.output_schema},
        "source": [
            {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for path, content in sorted(plan.files.items(), key=lambda item: item[0].encode())
        ],
        "lock": lock.digest,
        "artefacts": {
            platform: [
                {"name": item.name, "version": item.version, "file": wheel.file, "sha256": wheel.sha256}
                for item, wheel in lock.for_platform(platform)
            ]
            for platform in PLATFORMS
        },
    }
