"""What is said when a registry is at fault, unreachable, or refuses: one place for all sentences.

Nothing of a credential may reach a message.
"""

from __future__ import annotations

import json

from builders.errors import BuildError

__all__ = ["corrupt", "keeps_all", "refused", "unreachable"]


def unreachable(address: str, why: str) -> BuildError:
    """Return the failure of a registry that did not answer, or not in time."""
    return BuildError(
        "registry_unreachable",
        f"The registry {address} did not do what was asked in time: {why}.",
        hint="Look whether the registry runs and has room on its disk; nothing is half published.",
    )


def corrupt(address: str, what: str) -> BuildError:
    """Return the failure of content that is not what its digest says."""
    return BuildError(
        "registry_corrupt",
        f"The registry {address} {what}.",
        hint="Do not use what it returned; look at the registry's storage and at what stands before it.",
    )


def keeps_all(address: str) -> BuildError:
    """Return the failure of a registry that deletes nothing."""
    return BuildError(
        "registry_keeps_all",
        f"The registry {address} does not delete: nothing there can be cleaned up over its API.",
        hint="Turn deletion on in the registry, or turn the clean-up of images off and use its own.",
    )


def refused(address: str, status: int, action: str, body: bytes) -> BuildError:
    """Return the failure of a request that the registry understood and refused."""
    said = _said(body)
    reason = f" It says: {said}." if said else ""
    hint = "Look at what the registry allows its user, and at its log."
    if status in (401, 403):
        hint = "Check the user and password for the registry, and that the user may push to the repository."
    return BuildError(
        "registry_refused", f"The registry {address} refused {action} ({status}).{reason}", hint=hint
    )


def _said(body: bytes) -> str:
    """Return the registry's own words, shortened to what fits into a sentence."""
    try:
        errors = json.loads(body)["errors"]
        texts = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors[:3]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "".join(c if c.isprintable() else " " for c in "; ".join(texts))[:300]
