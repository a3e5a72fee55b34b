"""Makes objects as wanted: absent -> apply, not ours -> stop, different -> apply, same -> nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from operators.cluster import Cluster, Refused
from operators.kinds import Kind, kind_of
from operators.resources import names
from operators.resources.comparing import contains, is_owned_by

__all__ = ["Complete", "ensure", "owned", "prune"]

# (wanted, observed) -> what to apply
Complete = Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]


def ensure(
    cluster: Cluster, wanted: dict[str, Any], complete: Complete | None = None
) -> tuple[dict[str, Any] | None, str]:
    """Return the object as it is afterwards, and why it could not be made; empty when it could.

    What changed since it was read is not overwritten: that raises Outdated, and the next look sees it.
    `complete` adds to a changed object what the cluster put into the one that is there.
    """
    meta = wanted["metadata"]
    kind, namespace, name = kind_of(wanted), str(meta["namespace"]), str(meta["name"])
    observed = cluster.get(kind, namespace, name)
    if observed is not None:
        if not is_owned_by(observed, str(meta["ownerReferences"][0]["uid"])):
            return observed, f"{kind.kind} {name} belongs to somebody else; rename one of the two."
        if contains(observed, wanted):
            return observed, ""
        wanted = complete(wanted, observed) if complete else wanted
    version = str(observed["metadata"]["resourceVersion"]) if observed else ""
    try:
        return cluster.apply(wanted, names.FIELD_MANAGER, version=version), ""
    except Refused as error:
        return observed, error.message


def owned(cluster: Cluster, kind: Kind, namespace: str, function: str) -> list[dict[str, Any]]:
    """Return the objects of a kind that carry the function's id."""
    return cluster.list(kind, namespace, f"{names.FUNCTION_LABEL}={function}")


def prune(cluster: Cluster, kind: Kind, found: Iterable[Mapping[str, Any]], uid: str, kept: set[str]) -> None:
    """Delete what was made for the function and is wanted no more."""
    for one in found:
        meta = one["metadata"]
        if meta["name"] not in kept and is_owned_by(one, uid) and not meta.get("deletionTimestamp"):
            cluster.delete(kind, str(meta["namespace"]), str(meta["name"]), str(meta["uid"]))
