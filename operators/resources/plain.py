"""Makes plain Knative of a version: a Service that runs where nothing of Ingot is installed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from operators.resources.common import Options
from operators.resources.knative_service import make_template
from operators.resources.model import Function, Secret, Version

__all__ = ["PlainFunction", "make_plain_service", "secret_name"]


@dataclass(frozen=True, slots=True)
class PlainFunction:
    """A version and the values that it runs with."""

    name: str
    number: int
    # repository@sha256:…
    image: str
    # memory_mb, timeout_ms, concurrency, instances
    limits: Mapping[str, int]
    settings: Mapping[str, str]
    # Variables whose values lie in one Secret, under the same names.
    secrets: Sequence[str]


def secret_name(function: str) -> str:
    """Return the name of the Secret that a function's secret values are read from."""
    return f"{function}-secrets"


def make_plain_service(plain: PlainFunction) -> dict[str, Any]:
    """Return the Knative Service, reachable by Knative's own route, for any namespace."""
    version = Version(
        name=f"v{plain.number}",
        number=plain.number,
        digest="",
        image=plain.image,
        percent=100,
        tag="",
        memory_mb=plain.limits["memory_mb"],
        timeout_ms=plain.limits["timeout_ms"],
        concurrency=plain.limits["concurrency"],
        instances=plain.limits["instances"],
        settings=plain.settings,
        secrets=tuple(Secret(name, secret_name(plain.name), name) for name in plain.secrets),
    )
    nobody = Function("", plain.name, "", 0, "", "", "", (version,))
    made = make_template(nobody, version, Options())
    # The operator's marks and the account that it makes would be missing there.
    scaling = {
        name: value
        for name, value in made["metadata"]["annotations"].items()
        if name.startswith("autoscaling.knative.dev/")
    }
    spec = {name: value for name, value in made["spec"].items() if name != "serviceAccountName"}
    template = {"metadata": {"annotations": scaling}, "spec": spec}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": plain.name},
        "spec": {"template": template},
    }
