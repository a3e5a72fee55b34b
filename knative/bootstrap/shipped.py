"""Reads the manifests that Knative ships and fits them to one small node. Pure but for reading the files.

What is installed and in which order is `knative.bootstrap.serving`'s and
`knative.bootstrap.eventing`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["documents", "files", "fitted", "with_data", "with_images"]

# The definitions have a megabyte of YAML: the loader in C takes a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCHEME = "ko://"
# For several replicas on several nodes; here they would only wait for each other.
_LEFT_OUT = frozenset({"HorizontalPodAutoscaler", "PodDisruptionBudget"})


def files(folder: Path, pattern: str, without: Iterable[str] = ()) -> list[Path]:
    """Return the files of a pattern, sorted, without those whose name has one of some words."""
    skipped = tuple(without)
    return [path for path in sorted(folder.glob(pattern)) if not any(word in path.name for word in skipped)]


def documents(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the objects of YAML files."""
    for path in paths:
        with path.open(encoding="utf-8") as stream:
            yield from (found for found in yaml.load_all(stream, Loader=_LOADER) if isinstance(found, dict))


def with_images(value: Any, images: Mapping[str, str]) -> Any:
    """Return the value with every `ko://package` replaced by its image. Raises KeyError."""
    if isinstance(value, dict):
        return {name: with_images(inner, images) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_images(inner, images) for inner in value]
    if isinstance(value, str) and value.startswith(_SCHEME):
        return images[value.removeprefix(_SCHEME)]
    return value


def with_data(document: dict[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Return a ConfigMap with our values; its long example stays, as its checksum guards it."""
    changed = copy.deepcopy(document)
    changed["data"] = {**(changed.get("data") or {}), **data}
    return changed


def fitted(
    shipped: Iterable[dict[str, Any]], images: Mapping[str, str], environment: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return the objects for one small node; `environment` adds variables to containers by name."""
    return [
        _fitted_deployment(found, environment) if found["kind"] == "Deployment" else found
        for found in (
            with_images(document, images) for document in shipped if document["kind"] not in _LEFT_OUT
        )
    ]


def _fitted_deployment(
    document: dict[str, Any], environment: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    changed["spec"]["replicas"] = 1
    pod = changed["spec"]["template"]["spec"]
    pod.pop("affinity", None)
    pod["enableServiceLinks"] = False
    pod["terminationGracePeriodSeconds"] = 10
    for container in pod["containers"]:
        # Nothing is reserved on a machine that has other work; nothing is cut off either.
        container["resources"] = {"requests": {"cpu": "10m", "memory": "32Mi"}}
        if "readinessProbe" in container:
            container["readinessProbe"]["periodSeconds"] = 1
            container["readinessProbe"].pop("initialDelaySeconds", None)
        added = environment.get(container["name"], {})
        kept = [one for one in container.get("env", []) if one["name"] not in added]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in added.items())]
    return changed
