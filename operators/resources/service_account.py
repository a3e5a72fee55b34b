"""Makes the ServiceAccount of a function: an identity of its own, with no rights and no token in the pod."""

from __future__ import annotations

from typing import Any

from operators.resources import names
from operators.resources.common import Options, marked, metadata
from operators.resources.model import Function

__all__ = ["make_service_account"]


def make_service_account(function: Function, options: Options) -> dict[str, Any]:
    """Return the account that the function's pods run as and pull their images with."""
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(function, names.account(function.name)),
        "automountServiceAccountToken": False,
    }
    if options.pull_secrets:
        manifest["imagePullSecrets"] = [{"name": name} for name in options.pull_secrets]
    return marked(manifest)
