"""Makes the Knative Service of a function. Which template and traffic it has now is decided in `rollout`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from operators.resources import names
from operators.resources.common import OWN_TMP_MB, Options, labels, marked, metadata
from operators.resources.model import Function, Version

__all__ = ["hop_keys_of", "make_knative_service", "make_template", "with_known_template"]

_PORT: Final = 8080
_HOP_KEYS: Final = "INGOT_HOP_KEYS"


def make_knative_service(
    function: Function, template: dict[str, Any], traffic: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the Service with this template, cluster-local: only the gateway lets callers in."""
    return marked(
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": metadata(
                function, function.name, {"networking.knative.dev/visibility": "cluster-local"}
            ),
            "spec": {"template": template, "traffic": list(traffic)},
        }
    )


def with_known_template(wanted: dict[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Service with the template as Knative completed it, where it is the same template.

    Knative fills in what a template leaves open when its name changes, and only then; it refuses one of
    the same name without what it filled in.
    """
    spec = wanted["spec"]
    known = observed.get("spec", {}).get("template", {})
    if known.get("metadata", {}).get("name") != spec["template"]["metadata"]["name"]:
        return wanted
    return wanted | {"spec": spec | {"template": known}}


def make_template(function: Function, version: Version, options: Options) -> dict[str, Any]:
    """Return the template of one version; its name follows from all that is in it."""
    template: dict[str, Any] = {
        "metadata": {
            "labels": labels(function) | {"ingot.dev/version": str(version.number)},
            "annotations": _annotations(version, options),
        },
        "spec": {
            "serviceAccountName": names.account(function.name),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containerConcurrency": version.concurrency,
            # Knative counts whole seconds; the instance itself keeps the exact deadline.
            "timeoutSeconds": -(-version.timeout_ms // 1000),
            "containers": [_container(function, version, options)],
        },
    }
    if options.tmp_mb != OWN_TMP_MB:
        _add_tmp(template["spec"], options.tmp_mb)
    template["metadata"]["name"] = names.revision(function.name, template)
    return template


def hop_keys_of(service: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the gateways' keys that the Service's template names now."""
    template = (service or {}).get("spec", {}).get("template", {}).get("spec", {})
    named = (one for container in template.get("containers", ()) for one in container.get("env", ()))
    return tuple(key for one in named if one.get("name") == _HOP_KEYS for key in one.get("value", "").split())


def _annotations(version: Version, options: Options) -> dict[str, str]:
    annotations = {
        "autoscaling.knative.dev/max-scale": str(version.instances),
        "autoscaling.knative.dev/target-burst-capacity": options.burst_capacity,
        "ingot.dev/digest": version.digest,
    }
    if version.concurrency == 1:
        # Of Knative's 70 percent one call would be more than one instance's share, and start two from zero.
        annotations["autoscaling.knative.dev/target-utilization-percentage"] = "100"
    if version.min_instances:
        annotations["autoscaling.knative.dev/min-scale"] = str(version.min_instances)
    return annotations


def _container(function: Function, version: Version, options: Options) -> dict[str, Any]:
    reserved = max(32, version.memory_mb * options.memory_request_percent // 100)
    return {
        # Knative's own name for it, said so that what we apply can be compared with what is there.
        "name": "user-container",
        "image": version.image,
        "ports": [{"containerPort": _PORT}],
        "env": _environment(function, version, options.hop_keys),
        "resources": {
            "requests": {"cpu": options.cpu_request, "memory": _memory(min(reserved, version.memory_mb))},
            "limits": {"memory": _memory(version.memory_mb)},
        },
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # The last lines of what a crashed instance wrote become the reason that people read.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _add_tmp(spec: dict[str, Any], size_mb: int) -> None:
    """Add a volume for /tmp. For any volume at all the kubelet waits 0.3 s before it starts a pod."""
    spec["volumes"] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{size_mb}Mi"}}]
    # In place of the runtime's own: /tmp of our images leads there.
    spec["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/dev/shm"}]  # noqa: S108


def _memory(megabytes: int) -> str:
    """Return the quantity as the cluster writes it back, so that it does not look changed."""
    return f"{megabytes // 1024}Gi" if megabytes % 1024 == 0 else f"{megabytes}Mi"


def _environment(function: Function, version: Version, hop_keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the variables in a fixed order: the platform's, the settings, the secrets."""
    platform = {
        "INGOT_FUNCTION": function.name,
        "INGOT_VERSION": str(version.number),
        "INGOT_TIMEOUT_MS": str(version.timeout_ms),
        "INGOT_CONCURRENCY": str(version.concurrency),
    }
    if hop_keys:
        platform |= {"INGOT_HOP_FUNCTION": function.function, _HOP_KEYS: " ".join(hop_keys)}
    plain = [{"name": name, "value": value} for name, value in platform.items()]
    plain += [{"name": name, "value": version.settings[name]} for name in sorted(version.settings)]
    sealed = [
        {"name": one.variable, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for one in sorted(version.secrets, key=lambda one: one.variable)
    ]
    return [*plain, *sealed]
