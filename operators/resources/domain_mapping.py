"""Makes the DomainMappings of a function: names of one's own that lead to its traffic."""

from __future__ import annotations

from typing import Any

from operators.resources.common import marked, metadata
from operators.resources.model import Function

__all__ = ["make_domain_mapping"]


def make_domain_mapping(function: Function, domain: str) -> dict[str, Any]:
    """Return the mapping of one domain; the gateway finds the function's rules by the labels."""
    return marked(
        {
            "apiVersion": "serving.knative.dev/v1beta1",
            "kind": "DomainMapping",
            "metadata": metadata(function, domain),
            "spec": {
                "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": function.name}
            },
        }
    )
