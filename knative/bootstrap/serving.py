"""What of Knative Serving is installed, in which order and with which settings; it reads manifests only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knative.bootstrap.plan import FUNCTIONS_DOMAIN, REGISTRY, Profile
from knative.bootstrap.shipped import documents, files, fitted, with_data

__all__ = ["INGRESS_CLASS", "NAMESPACE", "PROGRAMS", "settings", "stages"]

NAMESPACE = "knative-serving"
# The gateway answers for this class. Until it runs, revisions become ready and routes wait for it.
INGRESS_CLASS = "ingot.dev/gateway"
_COMMANDS = "knative.dev/serving/cmd"
# Packages in the manifests, and what their programs are called here.
PROGRAMS = {
    f"{_COMMANDS}/controller": "serving-controller",
    f"{_COMMANDS}/webhook": "serving-webhook",
    f"{_COMMANDS}/autoscaler": "autoscaler",
    f"{_COMMANDS}/activator": "activator",
    f"{_COMMANDS}/queue": "queue",
}
# How often the activator asks a starting pod whether it is ready.
_ENVIRONMENT = {"activator": {"PROBE_FREQUENCY": "50ms"}}


def settings(profile: Profile, images: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return our values by ConfigMap; what is not named keeps Knative's default."""
    scaling = {"allow-zero-initial-scale": "true"}
    if profile is Profile.FAST:
        # Tests wait for zero often.
        scaling |= {"stable-window": "10s", "scale-to-zero-grace-period": "5s"}
    return {
        "config-network": {
            "ingress-class": INGRESS_CLASS,
            "mesh-compatibility-mode": "disabled",
            "autocreate-cluster-domain-claims": "true",
            "domain-template": "{{.Name}}-{{.Namespace}}.{{.Domain}}",
        },
        "config-domain": {FUNCTIONS_DOMAIN: ""},
        "config-deployment": {
            "queue-sidecar-image": images[f"{_COMMANDS}/queue"],
            "queue-sidecar-cpu-request": "10m",
            "progress-deadline": "120s",
            # Whoever deploys a tag of the local registry would need its password in a pod.
            "registries-skipping-tag-resolving": REGISTRY,
        },
        "config-autoscaler": scaling,
        # For whoever runs a Prometheus. Sidecars of functions stay as they are: each call would cost more.
        "config-observability": {"metrics-protocol": "prometheus"},
        "config-leader-election": {"lease-duration": "15s", "renew-deadline": "10s", "retry-period": "2s"},
    }


def stages(
    shipped: Mapping[str, Path], images: Mapping[str, str], profile: Profile
) -> list[list[dict[str, Any]]]:
    """Return the objects in three stages: definitions, what they rest on, then what runs.

    The settings come before the webhooks that would refuse them until they run.
    """
    core, network = (
        shipped["knative.dev/serving"] / "config/core",
        shipped["knative.dev/networking"] / "config",
    )
    own = settings(profile, images)
    kinds = ("certificate", "domain-claim", "ingress", "serverlessservice")
    definitions = [
        core / "100-namespace.yaml",
        *files(core, "300-resources/*.yaml"),
        *(network / f"{kind}.yaml" for kind in kinds),
        shipped["knative.dev/caching"] / "config/image.yaml",
    ]
    ground = [
        *files(core, "200-roles/*.yaml"),
        core / "200-serviceaccount.yaml",
        *files(core, "configmaps/*.yaml"),
        network / "config-network.yaml",
        core / "webhooks/secret.yaml",
    ]
    running = [
        *files(core, "deployments/*.yaml"),
        *files(core, "webhooks/*.yaml", without=("secret",)),
        core / "999-cache.yaml",
    ]
    return [
        list(documents(definitions)),
        [_with_settings(found, own) for found in fitted(documents(ground), images, {})],
        fitted(documents(running), images, _ENVIRONMENT),
    ]


def _with_settings(document: dict[str, Any], own: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    name = document["metadata"]["name"]
    return with_data(document, own[name]) if document["kind"] == "ConfigMap" and name in own else document
