"""Every name and label that is derived from a Function, in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "API_VERSION",
    "APPLIED",
    "FIELD_MANAGER",
    "FUNCTION_LABEL",
    "GROUP",
    "NAME_LABEL",
    "account",
    "admission",
    "host",
    "namespace",
    "revision",
    "short_digest",
    "trigger",
    "version_host",
]

GROUP: Final = "ingot.dev"
API_VERSION: Final = "ingot.dev/v1alpha1"
# The one field manager of all that the operator applies.
FIELD_MANAGER: Final = "ingot-operator"
# On everything made for a function: the function's id, and the resource's name to find it by.
FUNCTION_LABEL: Final = "ingot.dev/function"
NAME_LABEL: Final = "ingot.dev/name"
# Digest of what was applied, so that a field that is wanted no more shows as a difference.
APPLIED: Final = "ingot.dev/applied"


def short_digest(value: Any) -> str:
    """Return ten hex digits that change with the value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def revision(function: str, template: Mapping[str, Any]) -> str:
    """Return the name of the revision that a template becomes: another content is another revision."""
    return f"{function}-{short_digest(template)}"


def trigger(function: str, name: str) -> str:
    """Return the name of the Knative Trigger of one of a function's triggers."""
    return f"{function}-{name}"


def account(function: str) -> str:
    """Return the name of a function's ServiceAccount; a function may be called `default`."""
    return f"{function}-function"


def admission(function: str) -> str:
    """Return the name of what the cluster remembers of a function, by its id."""
    return function.replace("_", "-").lower()


def namespace(project: str) -> str:
    """Return the namespace that the control plane keeps a project's functions in, by the project's id."""
    return project.replace("_", "-").lower()


def host(function: str, in_namespace: str) -> str:
    """Return the cluster-local host that follows the function's traffic."""
    return f"{function}.{in_namespace}.svc.cluster.local"


def version_host(name: str, function: str, in_namespace: str) -> str:
    """Return the cluster-local host of one version or tag of a function."""
    return f"{name}-{function}.{in_namespace}.svc.cluster.local"
