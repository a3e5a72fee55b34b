"""Says whether an object in the cluster is already what is wanted of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["contains", "is_owned_by"]


def contains(observed: Any, wanted: Any) -> bool:
    """Say whether every wanted field is there; what others added beside them does not matter.

    Lists are compared item by item: an item more or less is a difference.
    """
    if isinstance(wanted, Mapping):
        return isinstance(observed, Mapping) and all(
            contains(observed.get(name), value) if value not in ({}, []) else not observed.get(name)
            for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(observed, list)
            and len(observed) == len(wanted)
            and all(contains(had, want) for had, want in zip(observed, wanted, strict=True))
        )
    # The API server leaves out what is empty, false or zero in some fields.
    return bool(observed == wanted or (wanted in ("", 0) and observed is None))


def is_owned_by(observed: Mapping[str, Any], uid: str) -> bool:
    """Say whether the object belongs to the resource with this uid."""
    references = observed.get("metadata", {}).get("ownerReferences", ())
    return any(one.get("uid") == uid and one.get("controller") for one in references)
