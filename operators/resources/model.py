"""A Function resource as values: what its author wrote, read once and checked for shape.

The schema in `knative/crds/function.yaml` refuses what breaks a rule, so this
only guards against resources that were stored under an older schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Function", "Malformed", "Secret", "Trigger", "Version", "read_function"]


class Malformed(ValueError):
    """The resource does not have the shape that its schema demands."""


@dataclass(frozen=True, slots=True)
class Secret:
    """An environment variable whose value lies in a Secret of the same namespace."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version under one release's values, and its part of the traffic."""

    name: str
    number: int
    digest: str
    # repository@sha256:…
    image: str
    percent: int
    # A second name that it is called by; empty for none.
    tag: str
    memory_mb: int
    timeout_ms: int
    concurrency: int
    instances: int
    min_instances: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """Events of a broker that call the function."""

    name: str
    broker: str
    # Attributes that an event must have exactly; none takes every event.
    attributes: Mapping[str, str]
    retries: int = 5
    # URI that gets what could not be delivered; empty for none.
    dead_letter: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A Function resource."""

    namespace: str
    name: str
    uid: str
    generation: int
    # The function's id, the same in every cluster.
    function: str
    organization: str
    project: str
    versions: tuple[Version, ...]
    triggers: tuple[Trigger, ...] = ()
    domains: tuple[str, ...] = ()


def read_function(body: Mapping[str, Any], spec: Mapping[str, Any] | None = None) -> Function:
    """Return the resource as values; with a `spec`, that one in place of its own. Raises Malformed."""
    try:
        meta = body["metadata"]
        wanted = body["spec"] if spec is None else spec
        return Function(
            namespace=str(meta["namespace"]),
            name=str(meta["name"]),
            uid=str(meta["uid"]),
            generation=int(meta["generation"]),
            function=str(wanted["function"]),
            organization=str(wanted["organization"]),
            project=str(wanted["project"]),
            versions=tuple(_version(one) for one in wanted["versions"]),
            triggers=tuple(_trigger(one) for one in wanted.get("triggers", ())),
            domains=tuple(str(one) for one in wanted.get("domains", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"The spec lacks or misuses {error}.") from error


def _version(one: Mapping[str, Any]) -> Version:
    limits = one["limits"]
    return Version(
        name=str(one["name"]),
        number=int(one["number"]),
        digest=str(one["digest"]),
        image=str(one["image"]),
        percent=int(one["percent"]),
        tag=str(one.get("tag", "")),
        memory_mb=int(limits["memoryMb"]),
        timeout_ms=int(limits["timeoutMs"]),
        concurrency=int(limits["concurrency"]),
        instances=int(limits["instances"]),
        min_instances=int(one.get("minInstances", 0)),
        settings={str(name): str(value) for name, value in one.get("settings", {}).items()},
        secrets=tuple(
            Secret(str(each["name"]), str(each["secret"]), str(each["key"]))
            for each in one.get("secrets", ())
        ),
    )


def _trigger(one: Mapping[str, Any]) -> Trigger:
    return Trigger(
        name=str(one["name"]),
        broker=str(one["broker"]),
        attributes={str(name): str(value) for name, value in one.get("attributes", {}).items()},
        retries=int(one.get("retries", 5)),
        dead_letter=str(one.get("deadLetter", "")),
    )
